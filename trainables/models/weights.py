"""Weights in files: read without pickle, written as safetensors."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_bytes
from safetensors.torch import load_file, save

from trainables.errors import UserError
from trainables.models.backbones import State


def read_weights(file: Path) -> State:
    """Read a safetensors file, or a state dict saved by torch (``weights_only=True``).

    Raises:
        UserError: if the file is absent or neither of them.
    """
    if not file.is_file():
        raise UserError(f"no file of weights at {file}")
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        state = torch.load(file, map_location="cpu", weights_only=True)
    except (SafetensorError, RuntimeError, EOFError, ValueError, OSError) as error:
        raise UserError(f"{file} cannot be read as weights: {error}") from error
    except Exception as error:  # pickle.UnpicklingError; torch's message advises to load the file nevertheless
        raise UserError(
            f"{file} holds more than tensors and is not read: it could run code. Ask its author for a safetensors file, or for "
            "a state dict (`torch.save(model.state_dict(), FILE)`)"
        ) from error
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise UserError(f"{file} is not a state dict of names and tensors")
    return state


def pack_weights(state: State) -> bytes:
    """Return a state dict as safetensors bytes."""
    return save({name: tensor.detach().cpu().contiguous() for name, tensor in state.items()})


def unpack_weights(content: bytes) -> State:
    """Return the state dict of safetensors bytes."""
    return load_bytes(content)

"""Weights in files: read without pickle, written as safetensors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_bytes
from safetensors.torch import load_file, save

from trainables.errors import UserError
from trainables.models.backbones import State
from trainables.models.weights_file import chosen_set, format_of

MAX_DEPTH = 3
"""Mappings within mappings in which weights are looked for."""


def read_weights(file: Path) -> State:
    """Read a safetensors file, or a state dict saved by torch (``weights_only=True``), also inside a checkpoint.

    Raises:
        UserError: if the file is absent or neither of them.
    """
    return read_with_notes(file)[0]


def read_with_notes(file: Path) -> tuple[State, tuple[str, ...]]:
    """Do what ``read_weights`` does, and say which of the parts of a checkpoint were taken.

    Raises:
        UserError: if the file is absent, or neither of them, or holds several sets of weights.
    """
    if not file.is_file():
        raise UserError(f"no file of weights at {file}")
    try:
        if format_of(file) == "safetensors":
            return load_file(file), ()
        content = torch.load(file, map_location="cpu", weights_only=True)
    except (SafetensorError, RuntimeError, EOFError, ValueError, OSError) as error:
        raise UserError(f"{file} cannot be read as weights: {error}") from error
    except UserError:
        raise
    except Exception as error:  # pickle.UnpicklingError; torch's message advises to load the file nevertheless
        raise UserError(
            f"{file} holds more than tensors and is not read: it could run code. Ask its author for a safetensors file, or for "
            "a state dict (`torch.save(model.state_dict(), FILE)`)"
        ) from error
    try:
        return _state_within(content)
    except UserError as error:
        raise UserError(f"{file} {error}") from error


def _state_within(content: Any, depth: int = 0) -> tuple[State, tuple[str, ...]]:
    """Return the state dict in what torch saved: the whole, or a part of a checkpoint."""
    if _is_state(content):
        return dict(content), ()
    sets = _sets(content, "", depth)
    if not sets:
        raise UserError("is not a state dict of names and tensors, and no part of it is one")
    name, notes = chosen_set(sets)
    return dict(sets[name]), notes


def _sets(content: Any, above: str, depth: int) -> dict[str, State]:
    """Return the state dicts in a checkpoint, by dotted name; what an optimizer keeps is none."""
    found: dict[str, State] = {}
    if not isinstance(content, Mapping) or depth == MAX_DEPTH:
        return found
    for name, part in content.items():
        if not isinstance(name, str) or "optim" in name.lower():
            continue
        if _is_state(part):
            found[above + name] = part
        else:
            found |= _sets(part, f"{above}{name}.", depth + 1)
    return found


def _is_state(content: Any) -> bool:
    return (
        isinstance(content, Mapping)
        and len(content) > 0
        and all(isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in content.items())
    )


def pack_weights(state: State) -> bytes:
    """Return a state dict as safetensors bytes."""
    return save({name: tensor.detach().cpu().contiguous() for name, tensor in state.items()})


def unpack_weights(content: bytes) -> State:
    """Return the state dict of safetensors bytes.

    Raises:
        ValueError: if they are none.
    """
    try:
        return load_bytes(content)
    except (SafetensorError, RuntimeError, KeyError, TypeError, OverflowError) as error:
        raise ValueError(f"they are no safetensors file that can be read: {error}") from error

"""Tests of files of weights."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from trainables.errors import UserError
from trainables.models.weights import pack_weights, read_weights, read_with_notes, unpack_weights

STATE = {
    "conv.weight": torch.arange(24.0).reshape(2, 3, 2, 2),
    "bn.num_batches_tracked": torch.tensor(7),
    "head.half": torch.ones(3, dtype=torch.bfloat16),
}


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(
        tensor.dtype == second[name].dtype and torch.equal(tensor, second[name]) for name, tensor in first.items()
    )


@pytest.mark.parametrize("name", ["w.safetensors", "w.pth", "w.bin", "ünï code.pt"])
def test_a_file_of_either_kind_is_read(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    (save_file if file.suffix == ".safetensors" else torch.save)(STATE, file)
    assert same(read_weights(file), STATE)


class Harm:
    """What a pickle may do when it is read."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> Any:
        return Path.touch, (self.file,)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol:UserWarning")
@pytest.mark.parametrize("write", [torch.save, lambda value, file: file.write_bytes(pickle.dumps(value))])
def test_a_pickle_that_would_do_harm_is_not_run(tmp_path: Path, write: Callable[[Any, Path], Any]) -> None:
    trace, file = tmp_path / "trace", tmp_path / "w.pth"
    write({"w": Harm(trace)}, file)
    with pytest.raises(UserError, match=r"w\.pth") as refused:
        read_weights(file)
    assert "weights_only" not in str(refused.value), "torch advises to load it all the same"
    assert not trace.exists()
    torch.load(file, weights_only=False) if write is torch.save else pickle.loads(file.read_bytes())  # noqa: S301
    assert trace.exists(), "the pickle would have done nothing anyway"


@pytest.mark.parametrize(
    "value", [{"w": 1.0}, [torch.zeros(1)], {"state_dict": {"w": 1.0}, "epoch": 3}, torch.zeros(2), {}]
)
def test_what_is_no_state_dict_is_refused(tmp_path: Path, value: Any) -> None:
    torch.save(value, tmp_path / "w.pth")
    with pytest.raises(UserError, match=r"w\.pth is not a state dict of names and tensors"):
        read_weights(tmp_path / "w.pth")


OPTIMIZER = {"state": {0: {"momentum_buffer": torch.zeros(2)}}, "param_groups": [{"lr": 0.1}]}


@pytest.mark.parametrize(
    ("checkpoint", "note"),
    [
        ({"epoch": 3, "state_dict": STATE, "optimizer": OPTIMIZER}, "the weights are those in state_dict"),
        ({"model": {"state_dict": STATE}, "optimizer_buffers": {"w": torch.zeros(1)}}, "in model.state_dict"),
        (
            {"state_dict": {"w": torch.zeros(1)}, "state_dict_ema": STATE},
            "EMA.*state_dict_ema are taken, not .*state_dict",
        ),
    ],
)
def test_the_weights_in_a_checkpoint_are_found_and_said(tmp_path: Path, checkpoint: Any, note: str) -> None:
    torch.save(checkpoint, tmp_path / "w.pth")
    state, notes = read_with_notes(tmp_path / "w.pth")
    assert same(state, STATE)
    assert re.search(note, notes[0])


def test_several_sets_of_weights_of_which_none_is_meant_are_refused(tmp_path: Path) -> None:
    torch.save({"teacher": STATE, "student": STATE}, tmp_path / "w.pth")
    with pytest.raises(UserError, match=r"w\.pth holds several sets of weights \(teacher, student\)"):
        read_weights(tmp_path / "w.pth")


@pytest.mark.parametrize("name", ["w.safetensors", "w.pth"])
@pytest.mark.parametrize("content", [b"", b"not weights at all", b"PK\x03\x04 half a zip"])
def test_a_broken_file_is_refused_by_name(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=name):
        read_weights(tmp_path / name)


@pytest.mark.parametrize("name", ["w.safetensors", "w.pth"])
def test_a_truncated_file_is_refused_by_name(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    (save_file if file.suffix == ".safetensors" else torch.save)(STATE, file)
    file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(UserError, match=f"{name} (cannot be read as weights|holds more)"):
        read_weights(file)


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no file of weights at .*imagenet\.pth"):
        read_weights(tmp_path / "imagenet.pth")


def test_packed_weights_come_back_and_are_a_safetensors_file(tmp_path: Path) -> None:
    content = pack_weights(STATE)
    assert same(unpack_weights(content), STATE)
    (tmp_path / "w.safetensors").write_bytes(content)
    assert same(load_file(tmp_path / "w.safetensors"), STATE)


def test_packing_does_not_depend_on_memory_layout_or_gradients() -> None:
    weight = torch.rand(2, 3, 4, 4)
    plain = pack_weights({"w": weight})
    assert pack_weights({"w": weight.to(memory_format=torch.channels_last)}) == plain
    assert pack_weights({"w": torch.nn.Parameter(weight)}) == plain


def test_the_bytes_do_not_depend_on_the_order_of_names() -> None:
    assert pack_weights(dict(reversed(STATE.items()))) == pack_weights(STATE)


def test_a_view_of_a_larger_tensor_packs_itself_alone() -> None:
    content = pack_weights({"w": torch.zeros(1000, 10)[:2]})
    assert len(content) < 1000
    assert unpack_weights(content)["w"].shape == (2, 10)

"""Networks and weights are looked at before any stage: what is told, and that it is remembered."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from sweep.grid.grid import Grid
from sweep.plan.inputs import Inputs, WeightsFile
from sweep.plan.network_checks import batches, count_own_networks, look_at_weights, trials, try_networks, weights_lines
from sweep.plan.plan import make_plan
from trainables.hashing import file_sha256
from trainables.models import inspection
from trainables.models.backbones import build
from trainables.models.complexity import gflops, shape_of
from trainables.specs import ModelSpec, Recipe

OWN = """
from torch import nn
class Net(nn.Module):
    def __init__(self, num_classes, channels=3, pair=False, edge=None, few=None, end=False):
        super().__init__()
        if end:
            import os
            os._exit(3)
        self.body = nn.Sequential(nn.Conv2d(channels, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1, groups=8))
        self.out = nn.Linear(8 * (edge * edge if edge else 1), few or num_classes)
        self.pair, self.edge = pair, edge
    def forward(self, images):
        maps = self.body(images)
        logits = self.out(maps.flatten(1) if self.edge else maps.mean((2, 3)))
        return (logits, maps) if self.pair else logits
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with a user's network."""
    file = tmp_path / "own_nets.py"
    file.write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    return file


def with_networks(load: Callable[..., Grid], document: dict[str, Any], **options: dict[str, Any]) -> Grid:
    document["architectures"] = {name: {"model": "own_nets:Net", "options": given} for name, given in options.items()}
    document["scenarios"] = {"Random": {}}
    document["axes"] = {"architecture": list(options), "learning_rate": 0.1, "fold": [0]}
    return load(document)


def no_child(*arguments: Any) -> Any:
    raise AssertionError("asked a child process")


def test_a_class_of_ones_own_is_counted_once(
    load: Callable[..., Grid],
    document: dict[str, Any],
    module: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    grid, memory = with_networks(load, document, plain={}), tmp_path / "cache/networks.json"
    assert count_own_networks(grid, memory) == []
    spec = grid.models["plain"]
    by_hand = 32 * 32 * (3 * 8 * 9 + 8 * 9) + 8 * 1000
    assert gflops(spec, 32) == pytest.approx(by_hand / 1e9, rel=0.001)
    shape = shape_of(spec)
    assert shape is not None
    assert shape.depthwise == pytest.approx(8192 / (2 * 8192 + 1000), abs=0.001)
    with monkeypatch.context() as patch:
        patch.setattr(inspection, "run_child", no_child)
        assert count_own_networks(grid, memory) == []
        module.write_text(OWN.replace("groups=8", "groups=1"))
        with pytest.raises(AssertionError, match="asked a child"):
            count_own_networks(grid, memory)
    assert "torch" in sys.modules, "of the test, not of a plan"


def test_each_network_that_cannot_train_is_told_with_a_sentence(
    load: Callable[..., Grid], document: dict[str, Any], module: Path, tmp_path: Path, at_hand: Callable[..., Inputs]
) -> None:
    options: dict[str, dict[str, Any]] = {
        "plain": {},
        "pair": {"pair": True},
        "grey": {"channels": 1},
        "fixed": {"edge": 64},
        "few": {"few": 3},
        "option": {"depht": 3},
    }
    grid = with_networks(load, document, **options)
    inputs = at_hand(grid)
    faults = try_networks(trials(make_plan(grid, inputs).stages, inputs), tmp_path / "networks.json")
    assert len(faults) == 5
    for name, words in {
        "pair": "returns a tuple of 2 and not one tensor of logits",
        "grey": "2 images of 32 px (3 channels) fails: RuntimeError: Given groups=1, weight of size [8, 1, 3, 3]",
        "fixed": "2 images of 32 px (3 channels) fails: RuntimeError: mat1 and mat2",
        "few": "shape (2, 3), wanted (2, 2)",
        "option": "unexpected keyword argument 'depht'",
    }.items():
        [fault] = [fault for fault in faults if fault.startswith(f"network {name} (own_nets:Net): ")]
        assert words in fault
    [remembered] = try_networks(trials(make_plan(grid, inputs).stages[1:2], inputs), tmp_path / "networks.json")
    assert remembered in faults, "a fault is looked at again"


def test_a_network_that_ends_the_process_is_named(
    load: Callable[..., Grid], document: dict[str, Any], module: Path, tmp_path: Path
) -> None:
    grid = with_networks(load, document, plain={}, ending={"end": True}, after={"channels": 3})
    faults = count_own_networks(grid, tmp_path / "networks.json")
    assert [fault.partition(" (")[0] for fault in faults] == ["network ending"]
    assert "ended the process that looked at it" in faults[0]
    assert shape_of(grid.models["after"]) is not None, "another child looked at those after it"


@pytest.mark.parametrize(
    ("settings", "images", "expected"),
    [
        ({"batch_size": 32}, 100, [32]),
        ({"batch_size": 32}, 20, [20]),
        ({"batch_size": 33, "micro_batch": 8}, 100, [8, 1]),
        ({"batch_size": 32, "micro_batch": 8}, 100, [8]),
        ({"batch_size": 8, "micro_batch": 16}, 100, [8]),
    ],
)
def test_the_batches_are_those_of_training(settings: dict[str, int], images: int, expected: list[int]) -> None:
    assert batches(Recipe.model_validate(settings), images) == expected


def start(load: Callable[..., Grid], document: dict[str, Any], tmp_path: Path, *files: str) -> tuple[Grid, Inputs]:
    names = {f"net{i}": file for i, file in enumerate(files)}
    document["architectures"] = {name: {"model": "timm/test_resnet"} for name in names}
    document["weights"] = {"mine": {name: {"file": file} for name, file in names.items()}}
    document["scenarios"] = {"Start": {"start": "mine"}}
    document["axes"] = {"architecture": list(names), "learning_rate": 0.1, "fold": [0]}
    inputs = Inputs()
    for name, file in names.items():
        inputs.weights["mine", name] = WeightsFile(tmp_path / file, file_sha256(tmp_path / file))
    return load(document), inputs


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    return build(ModelSpec(model="timm/test_resnet"), 32, 5).module.state_dict()


def test_a_plan_says_what_files_of_weights_hold(
    load: Callable[..., Grid],
    document: dict[str, Any],
    tmp_path: Path,
    state: dict[str, torch.Tensor],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broken = {name: tensor.clone() for name, tensor in state.items()}
    broken["conv1.0.weight"][:] = float("nan")
    save_file({f"module.{name}": tensor for name, tensor in state.items()}, tmp_path / "a.safetensors")
    torch.save({"epoch": 1, "state_dict": state, "state_dict_ema": state}, tmp_path / "b.pth")
    torch.save(broken, tmp_path / "c.pth")
    (tmp_path / "d.safetensors").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    grid, inputs = start(load, document, tmp_path, "a.safetensors", "b.pth", "c.pth", "d.safetensors")
    look_at_weights(inputs, tmp_path / "networks.json")
    lines = list(weights_lines(grid, inputs))
    assert len(lines) == 2
    assert "every name begins with module., which is taken off" in lines[0]
    assert "averaged (EMA) weights in state_dict_ema are taken" in lines[1]
    assert all(f"{len(state)} tensors" in line and "its normalisation is not known" in line for line in lines)
    lfs, nan = inputs.missing
    assert lfs.startswith("weights mine of net3: ")
    assert "a Git LFS pointer" in lfs
    assert nan.startswith("weights mine of net2: ")
    assert "holds NaN, not numbers, in conv1.0.weight" in nan

    _, again = start(load, document, tmp_path, "a.safetensors", "b.pth")
    monkeypatch.setattr(inspection, "run_child", no_child)
    look_at_weights(again, tmp_path / "networks.json")
    assert list(weights_lines(grid, again)) == lines, "remembered; a safetensors file never waits for torch"


def test_weights_of_another_network_are_told_before_a_stage(
    load: Callable[..., Grid],
    document: dict[str, Any],
    tmp_path: Path,
    state: dict[str, torch.Tensor],
    at_hand: Callable[..., Inputs],
) -> None:
    broken = {name: tensor.clone() for name, tensor in state.items()}
    broken["conv1.0.weight"][:] = float("nan")
    save_file(state, tmp_path / "a.safetensors")
    save_file({"other.weight": torch.zeros(3)}, tmp_path / "b.safetensors")
    save_file(broken, tmp_path / "c.safetensors")
    grid, files = start(load, document, tmp_path, "a.safetensors", "b.safetensors", "c.safetensors")
    inputs = at_hand(grid)
    inputs.weights.update(files.weights)
    missing, nan = try_networks(trials(make_plan(grid, inputs).stages, inputs), tmp_path / "networks.json")
    assert missing.startswith("network net1 (timm/test_resnet): the weights of ")
    assert "do not fit the architecture: missing: " in missing
    assert nan.startswith("network net2 ")
    assert "conv1.0.weight holds NaN" in nan

"""Tests of stages that start from an upstream stage or from a file of weights."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.trainables.support.stage_bench import MODEL, Bench, Ran, run
from trainables.errors import DamagedError, StageError, UserError
from trainables.models.backbones import build
from trainables.runtime import RuntimeContext
from trainables.specs import FileWeights, Stage, StageWeights


def after(pretrained: Ran, bench: Bench, **fields: Any) -> Stage:
    """A cell that starts from a pre-training, and takes no step worth the name: its weights stay what it loaded."""
    key = str(pretrained.stage.key)
    recipe = {"epochs": 1, "weight_decay": 0.0} | fields.pop("recipe", {})
    start = {"upstream": (key,), "initial": StageWeights(key=key), "learning_rate": 1e-30, "recipe": recipe}
    return bench.stage(**(start | fields))


def test_a_cell_starts_from_its_upstream_backbone(bench: Bench, pretrained: Ran) -> None:
    ran = run(after(pretrained, bench), pretrained.study, bench.runtime)
    loaded, given = ran.weights, pretrained.weights
    trained = {name for name in given if not name.startswith("fc.") and "running" not in name and "num_b" not in name}
    assert len(trained) > 20
    assert all(torch.allclose(loaded[name], given[name], rtol=0, atol=1e-20) for name in trained)
    assert (loaded["fc.weight"].shape[0], given["fc.weight"].shape[0]) == (6, 2)
    digest = pretrained.result["digests"]["weights.safetensors"]
    assert ran.result["upstream_digests"] == {str(pretrained.stage.key): digest}


def test_the_head_of_a_started_cell_is_new_and_drawn_from_its_seed(bench: Bench, pretrained: Ran) -> None:
    heads = [run(after(pretrained, bench, seed=seed), pretrained.study, bench.runtime).weights for seed in (0, 1)]
    assert not torch.equal(heads[0]["fc.weight"], heads[1]["fc.weight"])


def test_a_missing_upstream_stage_is_named(bench: Bench, pretrained: Ran, tmp_path: Path) -> None:
    stage, study = after(pretrained, bench), bench.study(tmp_path)
    with pytest.raises(FileNotFoundError, match=f"no stage of key {str(pretrained.stage.key)[:16]}"):
        run(stage, study, bench.runtime)
    failure = study.folder(stage).failure()
    assert failure is not None
    assert str(pretrained.stage.key)[:16] in failure["message"]


def test_an_upstream_stage_without_a_result_is_named(bench: Bench, pretrained: Ran, tmp_path: Path) -> None:
    study = bench.study(tmp_path)
    study.folder(pretrained.stage).begin(pretrained.stage)
    with pytest.raises(StageError, match=f"upstream stage {pretrained.stage.folder} has no result"):
        run(after(pretrained, bench), study, bench.runtime)


def test_upstream_weights_that_were_changed_are_refused(bench: Bench, pretrained: Ran, tmp_path: Path) -> None:
    study = bench.study(tmp_path)
    own = run(pretrained.stage, study, bench.runtime)
    file = own.folder / "weights.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"\0")
    with pytest.raises(DamagedError, match=r"weights\.safetensors is not what the stage wrote") as caught:
        run(after(pretrained, bench), study, bench.runtime)
    assert caught.value.key == str(pretrained.stage.key)


def test_a_stage_that_failed_for_want_of_another_is_done_when_that_is(bench: Bench, tmp_path: Path) -> None:
    study, first = bench.study(tmp_path), bench.stage("pretrain", recipe={"epochs": 1})
    key = str(first.key)
    stage = bench.stage(upstream=(key,), initial=StageWeights(key=key), recipe={"epochs": 1})
    with pytest.raises(FileNotFoundError):
        run(stage, study, bench.runtime)
    assert study.folder(stage).failure() is not None
    run(first, study, bench.runtime)
    run(stage, study, bench.runtime)
    assert study.folder(stage).failure() is None
    assert study.states() == {key[:16]: "done", str(stage.key)[:16]: "done"}


@pytest.fixture
def weights_file(tmp_path: Path) -> Path:
    """Published weights of the network: of 1000 classes."""
    torch.manual_seed(99)
    save_file(build(MODEL, 32, 1000).module.state_dict(), tmp_path / "published.safetensors")
    return tmp_path / "published.safetensors"


def from_file(bench: Bench, file: Path, **fields: Any) -> tuple[Stage, RuntimeContext]:
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    start = FileWeights(name="imagenet", sha256=sha256)
    recipe = {"epochs": 1, "weight_decay": 0.0}
    stage = bench.stage(initial=start, learning_rate=1e-30, recipe=recipe, **fields)
    return stage, RuntimeContext(bench.runtime.data, {sha256: str(file)})


def test_a_cell_starts_from_a_file_of_weights(bench: Bench, weights_file: Path, tmp_path: Path) -> None:
    stage, runtime = from_file(bench, weights_file)
    ran = run(stage, bench.study(tmp_path / "study"), runtime)
    given = load_file(weights_file)
    assert torch.equal(ran.weights["conv1.0.weight"], given["conv1.0.weight"])
    assert ran.weights["fc.weight"].shape[0] == 6
    assert ran.result["upstream_digests"] == {}


def test_a_file_that_is_not_the_one_planned_is_refused(bench: Bench, weights_file: Path, tmp_path: Path) -> None:
    stage, runtime = from_file(bench, weights_file)
    weights_file.write_bytes(weights_file.read_bytes()[:-1] + b"\1")
    with pytest.raises(StageError, match=r"published\.safetensors is not the file of weights that was planned"):
        run(stage, bench.study(tmp_path / "study"), runtime)


def test_weights_of_another_architecture_are_refused(bench: Bench, tmp_path: Path) -> None:
    save_file({"other.weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    stage, runtime = from_file(bench, tmp_path / "other.safetensors")
    with pytest.raises(UserError, match=r"other\.safetensors do not fit the architecture: .*missing"):
        run(stage, bench.study(tmp_path / "study"), runtime)

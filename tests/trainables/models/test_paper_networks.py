"""The four networks of the study, at their real sizes, through a whole stage: train, score, save, load, explain."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import torch

from analysis.explain.methods.target_layer import cam_layer
from tests.trainables.support.stage_bench import run
from trainables.data.packing.prepare import prepare
from trainables.data.readers.builtin.generated import Generated
from trainables.data.splits.splits import SplitSpec, cross_validation
from trainables.models.backbones import build
from trainables.runtime import RuntimeContext
from trainables.specs import ModelSpec, RandomWeights, Recipe, Stage, StageData
from trainables.store.storage import Storage
from trainables.store.study import Study

NETWORKS = ("resnet152", "vgg19_bn", "regnet_y_32gf", "vit_l_32")
"""All four with ``SWEEP_TEST_FULL_SIZE=1`` (two to five minutes on two cores); else the lightest."""
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(psutil.virtual_memory().available < 10e9, reason="needs 10 GB of memory"),
]


@pytest.fixture(autouse=True)
def memory_given_back() -> Iterator[None]:
    yield
    gc.collect()


@pytest.mark.parametrize("name", NETWORKS if os.environ.get("SWEEP_TEST_FULL_SIZE") else NETWORKS[:1])
def test_a_network_of_the_study_goes_through_a_stage(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = Generated(reader="generated", generator="blood_cells", images_per_class=6, size=224)
    data = prepare("cells", spec, tmp_path, tmp_path)
    split = cross_validation("cells", data, SplitSpec(folds=2, val_fraction=0.34))
    study = Study(Storage(tmp_path / "study"))
    study.write_split(split.digest, split.table)
    stage = Stage(
        kind="finetune",
        name=name,
        architecture=name,
        scenario="Random",
        fold=0,
        learning_rate=1e-3,
        seed=0,
        split=split.digest,
        upstream=(),
        model=ModelSpec(model=f"torchvision/{name}"),
        initial=RandomWeights(),
        data=StageData(name="cells", fingerprint=data.fingerprint, classes=data.classes, size=224),
        recipe=Recipe(image_size=224, epochs=1, batch_size=4, threads=len(os.sched_getaffinity(0))),
    )
    ran = run(stage, study, RuntimeContext({"cells": str(data.folder)}, {}))
    backbone = build(stage.model, 224, 6)
    backbone.module.load_state_dict(ran.weights)
    assert cam_layer(stage.model, backbone.module, 224).grid > (1, 1)
    parameters = sum(p.numel() for p in backbone.module.parameters()) / 1e6
    weights = (ran.folder / "weights.safetensors").stat().st_size / 1e6
    peak = ran.result["environment"]["peak_memory_bytes"] / 1e9
    with capsys.disabled():
        print(f"\n| {name} | {parameters:.1f} M | {ran.result['seconds']:.0f} s | {peak:.1f} GB | {weights:.0f} MB |")  # noqa: T201
    (ran.folder / "weights.safetensors").unlink()
    assert all(torch.isfinite(torch.tensor(ran.result["metrics"][f"{p}_loss"])) for p in ("val", "test"))

"""A small real study on generated cells: how the tests of whole stages make one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
from safetensors.torch import load_file

from trainables.data.packing.prepare import Packed, prepare
from trainables.data.readers.builtin.generated import Generated
from trainables.data.splits.splits import Split, SplitSpec, cross_validation, train_val_split
from trainables.runtime import RuntimeContext
from trainables.specs import ModelSpec, RandomWeights, Recipe, Stage, StageData
from trainables.stage.run import run_stage
from trainables.stage.task import StageProgress
from trainables.store.storage import Storage
from trainables.store.study import Study

MODEL = ModelSpec(model="timm/test_resnet")


@dataclass(frozen=True)
class Bench:
    """Prepared data, and how stages on them are made."""

    cells: Packed
    tissue: Packed
    cell_split: Split
    tissue_split: Split

    @property
    def runtime(self) -> RuntimeContext:
        return RuntimeContext({"cells": str(self.cells.folder), "tissue": str(self.tissue.folder)}, {})

    def study(self, folder: Path) -> Study:
        return self.study_on(Storage(folder))

    def study_on(self, storage: Storage) -> Study:
        study = Study(storage)
        for split in (self.cell_split, self.tissue_split):
            study.write_split(split.digest, split.table)
        return study

    def stage(self, kind: str = "finetune", **fields: Any) -> Stage:
        data, split = (self.tissue, self.tissue_split) if kind == "pretrain" else (self.cells, self.cell_split)
        name = "tissue" if kind == "pretrain" else "cells"
        recipe = {"image_size": 32, "epochs": 2, "batch_size": 16} | fields.pop("recipe", {})
        content: dict[str, Any] = {
            "kind": kind,
            "name": f"tiny-{name}",
            "architecture": "tiny",
            "scenario": "Tissue",
            "fold": None if kind == "pretrain" else 1,
            "learning_rate": 0.05,
            "seed": 0,
            "split": split.digest,
            "upstream": (),
            "model": MODEL,
            "initial": RandomWeights(),
            "data": StageData(name=name, fingerprint=data.fingerprint, classes=data.classes, size=data.size),
            "recipe": Recipe(**recipe),
        }
        return Stage(**(content | fields))


@dataclass(frozen=True)
class Ran:
    """A finished stage."""

    stage: Stage
    study: Study
    progress: list[StageProgress]

    @property
    def result(self) -> dict[str, Any]:
        result = self.study.folder(self.stage).result()
        assert result is not None
        return result

    @property
    def folder(self) -> Path:
        return Path(self.study.folder(self.stage).path())

    def table(self, name: str) -> pa.Table:
        return self.study.folder(self.stage).files.read_table(name)

    @property
    def weights(self) -> dict[str, torch.Tensor]:
        return load_file(self.folder / "weights.safetensors")


def run(stage: Stage, study: Study, runtime: RuntimeContext) -> Ran:
    return Ran(stage, study, list(run_stage(stage, study, runtime)))


def split_rows(split: Split, fold: int, *parts: str) -> dict[str, dict[str, Any]]:
    rows = [row for row in split.table.to_pylist() if row["fold"] == fold and row["split"] in parts]
    return {row["image_id"]: row for row in rows}


def make_bench(cache: Path) -> Bench:
    """Prepare the data below a folder."""

    def made(name: str, generator: Any) -> Packed:
        spec = Generated(reader="generated", generator=generator, images_per_class=12, size=32)
        return prepare(name, spec, cache, cache)

    cells, tissue = made("cells", "blood_cells"), made("tissue", "tissue_patches")
    spec = SplitSpec(folds=3, val_fraction=0.25)
    return Bench(cells, tissue, cross_validation("cells", cells, spec), train_val_split(tissue, spec))

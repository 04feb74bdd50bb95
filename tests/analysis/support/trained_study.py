"""A tiny study that was really trained, on image files: what is made from trained nets can be held against it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from PIL import Image

from trainables.data.packing.prepare import Packed, prepare
from trainables.data.readers.builtin.image_folder import ImageFolder
from trainables.data.splits.splits import SplitSpec, cross_validation, train_val_split
from trainables.data.synthetic import generated
from trainables.runtime import RuntimeContext
from trainables.specs import ModelSpec, RandomWeights, Recipe, Stage, StageData, StageWeights
from trainables.stage.run import run_stage
from trainables.store.storage import Storage
from trainables.store.study import Study

FOLDS, EDGE = 3, 40
SCENARIOS = {"Random": (), "Tissue": ("tissue",)}
GRID = {
    "target": "cells",
    "scenarios": {name: {"start": "random", "pretrain": list(sets)} for name, sets in SCENARIOS.items()},
    "axes": {"learning_rate": 0.02},
    "pretrain": {"learning_rate": 0.03},
}


@dataclass(frozen=True)
class TrainedStudy:
    """A finished study and the folder of its target images."""

    root: Path
    images: Path

    @property
    def study(self) -> Study:
        return Study.open(str(self.root))


def make(folder: Path) -> TrainedStudy:
    """Train two scenarios × three folds of timm's test_resnet for two epochs."""
    data = folder / "data"
    sets = {
        "cells": _packed(data, folder, "cells", "blood_cells"),
        "tissue": _packed(data, folder, "tissue", "tissue_patches"),
    }
    study = Study(Storage(folder / "study"))
    spec = SplitSpec(folds=FOLDS, val_fraction=0.25)
    split, tissue_split = cross_validation("cells", sets["cells"], spec), train_val_split(sets["tissue"], spec)
    for one in (split, tissue_split):
        study.write_split(one.digest, one.table)
    runtime = RuntimeContext({name: str(packed.folder) for name, packed in sets.items()}, {})
    pretrain = _stage("pretrain", "Tissue", None, sets["tissue"], "tissue", tissue_split.digest, None)
    cells = [
        _stage("finetune", scenario, fold, sets["cells"], "cells", split.digest, pretrain if needed else None)
        for scenario, needed in SCENARIOS.items()
        for fold in range(FOLDS)
    ]
    header = {
        "name": "study",
        "uid": "u",
        "target": "cells",
        "fingerprint": sets["cells"].fingerprint,
        "split": split.digest,
    }
    study.storage.write_json("study.json", header)
    study.storage.write("grid.yaml", yaml.safe_dump(GRID).encode())
    study.storage.write_json("plan.json", _plan(sets["cells"], [pretrain, *cells]))
    for stage in (pretrain, *cells):
        for _ in run_stage(stage, study, runtime):
            pass
    return TrainedStudy(folder / "study", data / "cells")


def _packed(data: Path, folder: Path, name: str, generator: Any) -> Packed:
    for number, member in enumerate(generated.members(generator, 9, 0)):
        file = data / name / member.kind / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generated.picture(generator, member, EDGE, 0)[0]).save(file)
    return prepare(name, ImageFolder(reader="image_folder", path=name), data, folder / "cache")


def _stage(
    kind: Any, scenario: str, fold: int | None, data: Packed, name: str, split: str, upstream: Stage | None
) -> Stage:
    return Stage(
        kind=kind,
        name=f"tiny-{scenario}-fold{fold}" if kind == "finetune" else "tiny-tissue",
        architecture="tiny",
        scenario=scenario,
        fold=fold,
        learning_rate=0.02 if kind == "finetune" else 0.03,
        seed=0,
        split=split,
        upstream=() if upstream is None else (str(upstream.key),),
        model=ModelSpec(model="timm/test_resnet"),
        initial=RandomWeights() if upstream is None else StageWeights(key=upstream.key),
        data=StageData(name=name, fingerprint=data.fingerprint, classes=data.classes, size=None),
        recipe=Recipe(image_size=32, epochs=2, batch_size=8),
    )


def _plan(cells: Packed, stages: list[Stage]) -> dict[str, Any]:
    fields = ("kind", "name", "key", "architecture", "scenario", "fold", "learning_rate", "seed", "upstream")
    rows = [{field: getattr(stage, field) for field in fields} for stage in stages]
    axes = {"architecture": ["tiny"], "scenario": list(SCENARIOS), "fold": list(range(FOLDS))}
    return {
        "grid": "tiny",
        "study": "study",
        "target": "cells",
        "classes": list(cells.classes),
        "axes": axes,
        "stages": rows,
    }

"""The two things that ``python -m analysis.gradcam`` does: explain a study, or a folder of images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from analysis.explain.checks.mask_overlap import no_masks
from analysis.explain.evaluate import BATCH, ImageHeatmaps, explain_images, probabilities
from analysis.explain.explained_model import load_trained, threads
from analysis.explain.pixels import PixelSource, of_folder, of_study
from analysis.explain.records.records import Explained
from analysis.explain.sampling import SampledImage, best_cells, class_numbers, pick, test_predictions
from analysis.explain.writer import PREFIX, write
from analysis.results.collect import collect
from analysis.results.verify import Cell
from trainables.errors import UserError
from trainables.store import layout
from trainables.store.stage_lookup import find_begun
from trainables.store.storage import Storage
from trainables.store.study import StageFolder, Study

PER_FIGURE = 8
"""Images in one figure of a folder."""
MOST_IMAGES = 500
"""Of a folder. They are held in memory, and nobody looks at more."""


@dataclass(frozen=True)
class ExplainRequest:
    """What is to be explained, and how.

    Attributes:
        architectures: of the rows; all where none is named.
        scenarios: of the rows; all where none is named. Without either, the best row alone.
        classes: names; all where none is given.
        count: of each class, how many of the most confident right and wrong images, and how many drawn.
        steps: of the deletion and insertion curves; 0: no faithfulness and no randomised-weights check.
        layer: that maps are read from; None: the architecture's own.
    """

    architectures: Sequence[str] = ()
    scenarios: Sequence[str] = ()
    classes: Sequence[str] = ()
    count: int = 2
    steps: int = 10
    layer: str | None = None


def explain_study(
    study: Study, wanted: ExplainRequest, data: Path | None = None, masks: Path | None = None
) -> list[Explained]:
    """Explain the best trial of each row asked for; write ``report/figures/gradcam-*`` into the study.

    Args:
        study: finished or not; only verified cells are explained.
        wanted: what of it.
        data: folder of the data sets; needed where no prepared form of the images is at hand.
        masks: folder of masks, one ``<name of the image>.png`` each.

    Raises:
        UserError: if a name is unknown, or weights or images are not at hand.
    """
    collected = collect(study)
    cells = best_cells(collected, wanted.architectures, wanted.scenarios)
    numbers = class_numbers(collected.plan.classes, wanted.classes)
    source = of_study(study, data, masks, collected.header.fingerprint)
    storage = study.storage.child(layout.REPORT_FIGURES)
    return [_explain_cell(cell, storage, source, numbers, wanted) for cell in cells]


def _explain_cell(
    cell: Cell, storage: Storage, source: PixelSource, numbers: Sequence[int], wanted: ExplainRequest
) -> Explained:
    said = test_predictions(cell)
    picks = [one for number in numbers for one in pick(said, number, wanted.count, str(cell.stage.key))]
    if not picks:
        raise UserError(f"{cell.planned.name}: no test image of the classes asked for")
    with threads(cell.stage.recipe.threads):
        trained = load_trained(cell.folder, wanted.layer)
        found = explain_images(trained, picks, source.pixels, source.mask, wanted.steps)
        groups: dict[str, list[ImageHeatmaps]] = {}
        for one in found.images:
            groups.setdefault(f"test images of {trained.classes[int(one.pick.label or 0)]}", []).append(one)
        _clear(storage, cell)
        return write(storage, trained, found, groups, _row(cell), cell.candidate.val_f1_macro)


def _row(cell: Cell) -> tuple[str, str]:
    return cell.planned.architecture, cell.planned.scenario


def _clear(storage: Storage, cell: Cell) -> None:
    """Take away what an earlier call drew of this row: it may have been of another trial, or of other classes."""
    for name in storage.names():
        if not (name.startswith(f"{PREFIX}-") and name.endswith(".json")):
            continue
        try:
            old = Explained.model_validate_json(storage.read(name))
        except ValueError:
            continue
        if (old.architecture, old.scenario) == _row(cell):
            for file in (name, *(f for figure in old.figures for f in (figure.svg, figure.png))):
                storage.remove(file)


def explain_folder(study: Study, stage: str, images: Path, out: Path, wanted: ExplainRequest) -> Explained:
    """Explain all images of a folder with a trained stage; write figures and record into another folder.

    Args:
        study: has the stage.
        stage: its key or name.
        images: searched with all that is below it.
        out: made where it is not there.
        wanted: its ``steps`` and ``layer`` count.

    Raises:
        UserError: if there is no such stage or image, or the stage keeps no weights.
    """
    folder: StageFolder = find_begun(study, stage)
    trained = load_trained(folder, wanted.layer)
    ids, pixels_of = of_folder(images, trained.stage.data.size)
    if len(ids) > MOST_IMAGES:
        raise UserError(
            f"{images} holds {len(ids)} images, more than {MOST_IMAGES}: give a folder of those you want to look at"
        )
    with threads(trained.stage.recipe.threads):
        picks = []
        for start in range(0, len(ids), BATCH):
            some = ids[start : start + BATCH]
            picks += _said(some, probabilities(trained, pixels_of(some)))
        found = explain_images(trained, picks, pixels_of, no_masks, wanted.steps)
        groups = {
            f"images {start + 1} to {min(start + PER_FIGURE, len(ids))} of {images.name}": found.images[
                start : start + PER_FIGURE
            ]
            for start in range(0, len(ids), PER_FIGURE)
        }
        val = (folder.result() or {}).get("metrics", {}).get("val_f1_macro")
        row = trained.stage.architecture, trained.stage.scenario
        return write(Storage(out), trained, found, groups, row, val)


def _said(ids: Sequence[str], probability: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> list[SampledImage]:
    best = probability.argmax(1)
    return [
        SampledImage(one, None, int(best[i]), float(probability[i, best[i]]), "from the folder")
        for i, one in enumerate(ids)
    ]

"""What ``python -m analysis.gradcam`` does: explain networks of a study, or a folder of images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from analysis.explain.checks.check_input import batches
from analysis.explain.evaluate import ImageHeatmaps, explain_images, probabilities
from analysis.explain.methods.explained_model import cpu_threads, load_trained
from analysis.explain.pixels import PixelSource, of_folder, of_study
from analysis.explain.records.records import Explained
from analysis.explain.records.records_reader import PREFIX
from analysis.explain.sampling import SampledImage, best_cells, class_numbers, sample, test_predictions
from analysis.explain.writer import Explanation, write
from analysis.results.collect import collect
from analysis.results.plan_file import RowName
from analysis.results.verify import Cell
from trainables.errors import UnsafeFileError, UserError
from trainables.store import layout
from trainables.store.stage_lookup import find_begun
from trainables.store.storage import Storage
from trainables.store.study import Study
from trainables.store.untrusted import plain_name

PER_FIGURE = 8
"""Images in one figure of a folder."""
MOST_IMAGES = 500
"""Largest number of images of a folder: all are held in memory."""


@dataclass(frozen=True)
class ExplainRequest:
    """What of a study to explain, and how.

    Attributes:
        architectures: names of rows; empty: all.
        scenarios: names of rows; empty: all. Without either, only the best row.
        classes: names; empty: all.
        count: of each class, the number of confident right, confident wrong and randomly sampled images.
        steps: of the deletion and insertion curves; 0: no faithfulness check and none with random weights.
        layer: name of the layer that maps are read from; None: found by ``cam_layer``.
        data: folder of the data sets; needed where no packed images are beside the study.
        masks: folder of masks, ``<name of the image>.png``.
        allow_code: whether the study may choose code.
    """

    architectures: Sequence[str] = ()
    scenarios: Sequence[str] = ()
    classes: Sequence[str] = ()
    count: int = 2
    steps: int = 10
    layer: str | None = None
    data: Path | None = None
    masks: Path | None = None
    allow_code: bool = False


def explain_study(study: Study, request: ExplainRequest) -> list[Explained]:
    """Explain the best cell of each requested row and write ``report/figures/gradcam-*`` into the study.

    Args:
        study: finished or not; only verified cells are explained.
        request: what to explain.

    Raises:
        UserError: if a name is unknown, or weights or images are missing.
    """
    collected = collect(study)
    cells = best_cells(collected, request.architectures, request.scenarios)
    labels = class_numbers(collected.plan.classes, request.classes)
    source = of_study(study, request.data, request.masks, collected.header.fingerprint, request.allow_code)
    storage = study.storage.child(layout.REPORT_FIGURES)
    return [_explain_cell(cell, labels, source, request, storage) for cell in cells]


def explain_folder(study: Study, stage: str, images: Path, out: Path, request: ExplainRequest) -> Explained:
    """Explain all images of a folder with a trained stage; write figures and record into another folder.

    Args:
        study: has the stage.
        stage: its key or name.
        images: folder, searched with all folders below it.
        out: folder to write to.
        request: its ``steps`` and ``layer`` apply.

    Raises:
        UserError: if there is no such stage or image, or the stage keeps no weights.
    """
    folder = find_begun(study, stage)
    model = load_trained(folder, request.layer, request.allow_code)
    ids, source = of_folder(images, model.stage.data.size)
    if len(ids) > MOST_IMAGES:
        raise UserError(
            f"{images} holds {len(ids)} images, more than {MOST_IMAGES}: give a folder of those you want to look at"
        )
    with cpu_threads(model.stage.recipe.threads):
        sampled = []
        for rows in batches(len(ids)):
            probability = probabilities(model, source.pixels(ids[rows]))
            for image_id, of_image in zip(ids[rows], probability, strict=True):
                best = int(of_image.argmax())
                sampled.append(SampledImage(image_id, None, best, float(of_image[best]), "from the folder"))
        evaluated = explain_images(model, sampled, source, request.steps)
        figures = {
            f"images {start + 1} to {min(start + PER_FIGURE, len(ids))} of {images.name}": evaluated.images[
                start : start + PER_FIGURE
            ]
            for start in range(0, len(ids), PER_FIGURE)
        }
        val = (folder.result() or {}).get("metrics", {}).get("val_f1_macro")
        row = model.stage.architecture, model.stage.scenario
        return write(Storage(out), Explanation(model, row, val, evaluated, figures))


def _explain_cell(
    cell: Cell, labels: Sequence[int], source: PixelSource, request: ExplainRequest, storage: Storage
) -> Explained:
    predictions = test_predictions(cell)
    images = [one for label in labels for one in sample(predictions, label, request.count, str(cell.stage.key))]
    if not images:
        raise UserError(f"{cell.planned.name}: no test image of the requested classes")
    with cpu_threads(cell.stage.recipe.threads):
        model = load_trained(cell.folder, request.layer, request.allow_code)
        evaluated = explain_images(model, images, source, request.steps)
        figures: dict[str, list[ImageHeatmaps]] = {}
        for one in evaluated.images:
            figures.setdefault(f"test images of {model.classes[int(one.image.label or 0)]}", []).append(one)
        _remove_earlier(storage, cell.planned.row)
        explanation = Explanation(model, cell.planned.row, cell.candidate.val_f1_macro, evaluated, figures)
        return write(storage, explanation)


def _remove_earlier(storage: Storage, row: RowName) -> None:
    """Remove the figures and records that an earlier call wrote for a row, perhaps of another cell or other classes."""
    for name in storage.names():
        if not (name.startswith(PREFIX) and name.endswith(".json")):
            continue
        try:
            old = Explained.model_validate_json(storage.read(name))
        except (ValueError, UnsafeFileError):
            continue
        if (old.architecture, old.scenario) == row:
            for file in (name, *(f for figure in old.figures for f in (figure.svg, figure.png))):
                if file.startswith(PREFIX) and plain_name(file):
                    storage.remove(file)

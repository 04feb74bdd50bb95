"""Write explained images: figures, and the record that the report reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from analysis.explain.checks.registry import CHECKS
from analysis.explain.evaluate import EvaluatedImages, ImageHeatmaps, summarise
from analysis.explain.methods.explained_model import ExplainedModel
from analysis.explain.methods.registry import METHODS
from analysis.explain.panels import as_png, as_svg, draw
from analysis.explain.records.records import (
    DELETION,
    INSERTION,
    RANDOM,
    Explained,
    ExplainedImage,
    FigureFiles,
    Measurement,
)
from analysis.explain.records.records_reader import PREFIX
from analysis.results.plan_file import RowName
from trainables.hashing import readable
from trainables.store.storage import Storage


@dataclass(frozen=True)
class Explanation:
    """An explained network, ready to be written.

    Attributes:
        model: the network.
        row: architecture and scenario, as in the tables.
        val_f1_macro: its val score, or None.
        evaluated: all images.
        figures: title of each figure -> its images.
    """

    model: ExplainedModel
    row: RowName
    val_f1_macro: float | None
    evaluated: EvaluatedImages
    figures: Mapping[str, Sequence[ImageHeatmaps]]


def write(storage: Storage, explanation: Explanation) -> Explained:
    """Write figures (SVG, PNG) and record (JSON) of a network.

    Args:
        storage: of the folder to write to.
        explanation: what to write.
    """
    model, (architecture, scenario) = explanation.model, explanation.row
    stage, layer = model.stage, model.network.layer
    name = f"{PREFIX}{readable(architecture)}-{readable(scenario)}-{str(stage.key)[:8]}"
    figures = [
        _figure(storage, f"{name}-{number:02d}-{readable(title)}", title, explanation)
        for number, title in enumerate(explanation.figures)
    ]
    explained = Explained(
        architecture=architecture,
        scenario=scenario,
        stage=stage.name,
        key=str(stage.key),
        fold=stage.fold,
        val_f1_macro=explanation.val_f1_macro,
        layer=layer.name,
        grid=layer.grid,
        edge=model.edge,
        guided=explanation.evaluated.guided,
        figures=tuple(figures),
        checks=summarise(value for one in explanation.evaluated.images for value in one.measured),
        notes=tuple(_notes(model, explanation.evaluated)),
    )
    storage.write(f"{name}.json", (explained.model_dump_json(indent=1) + "\n").encode())
    return explained


def doubts(measured: Iterable[Iterable[Measurement]]) -> list[str]:
    """Return a warning for each method whose maps are no more faithful than random maps of their resolution.

    Compared is insertion − deletion, image by image; a warning is given where the mean difference is not above zero.
    This is not a significance test.

    Args:
        measured: the values of each image.
    """
    gains: dict[str, list[float]] = {}
    for of_image in measured:
        areas = {(one.check, one.map): one.value for one in of_image if one.value is not None}
        faithful = {name: areas[INSERTION, name] - areas[DELETION, name] for check, name in areas if check == INSERTION}
        for name in set(METHODS.names()) & faithful.keys():
            gains.setdefault(name, []).append(faithful[name] - faithful[RANDOM])
    return [
        f"Do not rely on {name} here: by deletion and insertion it is no more faithful than a random map of the same resolution "
        f"(insertion − deletion, mean difference {sum(gain) / len(gain):+.3f} over {len(gain)} images). Another layer may do "
        "better: --layer."
        for name, gain in sorted(gains.items())
        if sum(gain) <= 0
    ]


def _figure(storage: Storage, name: str, title: str, explanation: Explanation) -> FigureFiles:
    images, evaluated, model = explanation.figures[title], explanation.evaluated, explanation.model
    fold, layer, row = model.stage.fold, model.network.layer, ", ".join(explanation.row)
    heading = f"{title}\n{row}{'' if fold is None else f', fold {fold}'}, layer {layer.name}"
    figure = draw(heading, images, evaluated)
    storage.write(f"{name}.svg", as_svg(figure))
    storage.write(f"{name}.png", as_png(figure))
    caption = (
        f"{title}: {row}. Maps of {layer.grid[0]} × {layer.grid[1]} places, read from "
        f"{layer.name}, for the predicted class; each is scaled to its own hottest place. Last column: "
        f"{evaluated.guided}."
    )
    return FigureFiles(
        title=title,
        svg=f"{name}.svg",
        png=f"{name}.png",
        caption=caption,
        images=tuple(_image(one, evaluated.classes) for one in images),
    )


def _image(one: ImageHeatmaps, classes: Sequence[str]) -> ExplainedImage:
    image = one.image
    return ExplainedImage(
        image_id=image.image_id,
        label=None if image.label is None else classes[image.label],
        explained=classes[image.explained],
        probability=image.probability,
        why=image.why,
        flat=one.flat,
        measured=one.measured,
    )


def _notes(model: ExplainedModel, evaluated: EvaluatedImages) -> Iterator[str]:
    (rows, columns), edge, images = model.network.layer.grid, model.edge, evaluated.images
    yield (
        f"A map has {rows} × {columns} places on an image of {edge} px: one place covers "
        f"{edge / rows:.0f} × {edge / columns:.0f} px, and nothing finer is known."
    )
    if any(one.mask is not None for one in images):
        yield "Outlines on the original are those of the mask: cell dashed, nucleus solid. The network never saw them."
    yield from doubts(one.measured for one in images)
    flat = sum(bool(one.flat) for one in images)
    if flat:
        yield f"{flat} of {len(images)} images have a map without heat: no place speaks for the class."
    for registry in (METHODS, CHECKS):
        for name in registry.names():
            if origin := registry.origin(name):
                yield f"{name} is from {origin}, not part of this package."

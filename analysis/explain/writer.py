"""From explained images to the files of a folder: figures, and the record that the report reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from analysis.explain.evaluate import EvaluatedImages, ImageHeatmaps, flat_maps, summarise
from analysis.explain.explained_model import ExplainedModel
from analysis.explain.panels import as_png, as_svg, draw
from analysis.explain.records.records import (
    DELETION,
    GRADCAM,
    INSERTION,
    PLUS_PLUS,
    RANDOM,
    Explained,
    FigureFiles,
    Image,
    Measured,
)
from trainables.hashing import readable
from trainables.store.storage import Storage

PREFIX = "gradcam"


def write(
    storage: Storage,
    trained: ExplainedModel,
    found: EvaluatedImages,
    groups: Mapping[str, Sequence[ImageHeatmaps]],
    row: tuple[str, str],
    val: float | None,
) -> Explained:
    """Draw each group of images as one figure; write figures and record.

    Args:
        storage: of the folder they go to.
        trained: what was explained.
        found: all images, and what the gradient is.
        groups: title of a figure -> its images.
        row: architecture and scenario, as tables call them.
        val: the stage's val score, where it has one.
    """
    stage = trained.stage
    layer = trained.network.layer
    name = f"{PREFIX}-{readable(row[0])}-{readable(row[1])}-{str(stage.key)[:8]}"
    drawn = [
        _figure(storage, f"{name}-{number:02d}-{readable(title)}", title, images, trained, found.guided, row)
        for number, (title, images) in enumerate(groups.items())
    ]
    explained = Explained(
        architecture=row[0],
        scenario=row[1],
        stage=stage.name,
        key=str(stage.key),
        fold=stage.fold,
        val_f1_macro=val,
        layer=layer.name,
        grid=layer.grid,
        edge=trained.input_spec.edge,
        guided=found.guided,
        figures=tuple(drawn),
        checks=summarise(measured for one in found.images for measured in one.measured),
        notes=_notes(trained, found),
    )
    storage.write(f"{name}.json", (explained.model_dump_json(indent=1) + "\n").encode())
    return explained


def _figure(
    storage: Storage,
    name: str,
    title: str,
    images: Sequence[ImageHeatmaps],
    trained: ExplainedModel,
    guided: str,
    row: tuple[str, str],
) -> FigureFiles:
    fold, layer = trained.stage.fold, trained.network.layer
    heading = f"{title}\n{row[0]}, {row[1]}" + ("" if fold is None else f", fold {fold}") + f", layer {layer.name}"
    figure = draw(heading, images, trained.classes, guided, layer.grid)
    storage.write(f"{name}.svg", as_svg(figure))
    storage.write(f"{name}.png", as_png(figure))
    caption = (
        f"{title}: {row[0]}, {row[1]}. Maps of {layer.grid[0]} × {layer.grid[1]} places, read from "
        f"{layer.name}, for the class that the network said; each is scaled to its own hottest place. Last column: {guided}."
    )
    return FigureFiles(
        title=title,
        svg=f"{name}.svg",
        png=f"{name}.png",
        caption=caption,
        images=tuple(_image(one, trained.classes) for one in images),
    )


def _image(one: ImageHeatmaps, classes: Sequence[str]) -> Image:
    pick = one.pick
    return Image(
        image_id=pick.image_id,
        label=None if pick.label is None else classes[pick.label],
        explained=classes[pick.explained],
        probability=pick.probability,
        why=pick.why,
        flat=flat_maps(one.heat),
        measured=one.measured,
    )


def _notes(trained: ExplainedModel, found: EvaluatedImages) -> tuple[str, ...]:
    rows, columns = trained.network.layer.grid
    notes = [
        f"A map has {rows} × {columns} places on an image of {trained.input_spec.edge} px: one place covers "
        f"{trained.input_spec.edge / rows:.0f} × {trained.input_spec.edge / columns:.0f} px, and nothing finer is known.",
    ]
    if any(one.mask is not None for one in found.images):
        notes.append(
            "Outlines on the original are those of the mask: cell dashed, nucleus solid. The network never saw them."
        )
    notes += doubts(one.measured for one in found.images)
    flat = sum(bool(flat_maps(one.heat)) for one in found.images)
    if flat:
        notes.append(f"{flat} of {len(found.images)} images have a map without heat: no place speaks for the class.")
    return tuple(notes)


def doubts(measured: Iterable[Iterable[Measured]]) -> list[str]:
    """Return a warning for each kind of map that is no more faithful than a random one of its resolution.

    Compared is insertion − deletion, image by image. A mean that is not above zero speaks for itself; no test is made.
    """
    gains: dict[str, list[float]] = {}
    for of_image in measured:
        areas = {(one.check, one.map): one.value for one in of_image if one.value is not None}
        faithful = {name: areas[INSERTION, name] - areas[DELETION, name] for check, name in areas if check == INSERTION}
        for name in {GRADCAM, PLUS_PLUS} & faithful.keys():
            gains.setdefault(name, []).append(faithful[name] - faithful[RANDOM])
    return [
        f"Do not rely on {name} here: by deletion and insertion it is no more faithful than a random map of the same resolution "
        f"(insertion − deletion, mean difference {sum(gain) / len(gain):+.3f} over {len(gain)} images). Another layer may do "
        "better: --layer."
        for name, gain in sorted(gains.items())
        if sum(gain) <= 0
    ]

"""The images of a run: the loss curve of a range test, the confusion matrices of a cell.

Drawn with Pillow in milliseconds; a plotting library would take longer than the rest of the mirror. Images of the data are
drawn only if the user allows it: they may be patients'.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from trainables.specs import Stage
from trainables.store import layout
from trainables.store.study import StageFolder
from trainables.training.metrics import confusion

WIDTH, HEIGHT, MARGIN = 640, 400, 56
BLUE, GREY, RED, BLACK = (31, 90, 160), (170, 170, 170), (200, 40, 40), (0, 0, 0)
MAX_MISTAKES = 12
"""Most images of the data that are shown."""


def of_stage(stage: Stage, folder: StageFolder, result: dict[str, Any], data: str | None) -> dict[str, Image.Image]:
    """Return the images of a finished stage by name: at most two.

    Args:
        stage: the stage.
        folder: its folder.
        result: content of its ``result.json``.
        data: folder of its packed data, if images of them may be shown; else None.
    """
    if stage.kind == "lr_range":
        return {"range_test": curve(folder.files.read_table(layout.CURVE).to_pydict())}
    if stage.kind != "finetune":
        return {}
    table = folder.files.read_table(layout.PREDICTIONS)
    parts = np.array(table["split"].to_pylist())
    labels = table["label"].to_numpy()
    logits = np.stack(table["logits"].to_numpy(zero_copy_only=False))
    predicted = logits.argmax(1)
    classes = list(result["classes"])
    matrices = {
        part: confusion(labels[parts == part], predicted[parts == part], len(classes)) for part in ("val", "test")
    }
    images = {"confusion_matrix": confusion_matrices(matrices, classes)}
    if data is not None:
        wrong = np.flatnonzero((parts == "val") & (labels != predicted))
        margins = logits.max(1) - logits[np.arange(len(labels)), labels]
        worst = wrong[np.argsort(-margins[wrong])][:MAX_MISTAKES]
        if len(worst):
            ids = [table["image_id"][int(row)].as_py() for row in worst]
            captions = [f"{classes[labels[row]]} taken for {classes[predicted[row]]}" for row in worst]
            images["val_mistakes"] = mistakes(Path(data), ids, captions)
    return images


def curve(points: dict[str, list[Any]]) -> Image.Image:
    """Draw loss and smoothed loss over the learning rate (logarithmic), and the rates that were chosen.

    Args:
        points: columns of ``curve.parquet``: ``learning_rate, loss, smoothed_loss, chosen``.
    """
    picture = Image.new("RGB", (WIDTH, HEIGHT), "white")
    draw = ImageDraw.Draw(picture)
    rates = np.log10(np.array(points["learning_rate"], dtype=float))
    smoothed = np.array(points["smoothed_loss"], dtype=float)
    finite = smoothed[np.isfinite(smoothed)]
    if not len(finite):
        return picture
    x_range = (float(rates.min()), float(rates.max()))
    y_range = (float(finite.min()), float(min(finite.max(), 2 * finite[0] - finite.min()) if len(finite) else 1.0))
    draw.rectangle((MARGIN, MARGIN / 2, WIDTH - MARGIN / 2, HEIGHT - MARGIN), outline=BLACK)
    for name, colour, width in (("loss", GREY, 1), ("smoothed_loss", BLUE, 3)):
        draw.line(_line(rates, np.array(points[name], dtype=float), x_range, y_range), fill=colour, width=width)
    for rate, chosen in zip(points["learning_rate"], points["chosen"], strict=True):
        if chosen:
            x = _place(math.log10(rate), x_range, MARGIN, WIDTH - MARGIN / 2)
            draw.line((x, MARGIN / 2, x, HEIGHT - MARGIN), fill=RED, width=2)
            draw.text((x + 4, MARGIN / 2 + 4), f"{rate:.3g}", fill=RED)
    for at, text in ((MARGIN, f"{10 ** x_range[0]:.1e}"), (WIDTH - MARGIN * 1.5, f"{10 ** x_range[1]:.1e}")):
        draw.text((at, HEIGHT - MARGIN + 6), text, fill=BLACK)
    draw.text((WIDTH / 2 - 40, HEIGHT - MARGIN / 2), "learning rate", fill=BLACK)
    for y, value in ((MARGIN / 2, y_range[1]), (HEIGHT - MARGIN - 12, y_range[0])):
        draw.text((4, y), f"{value:.3f}", fill=BLACK)
    draw.text((MARGIN, 8), "loss (grey) and smoothed loss (blue)", fill=BLACK)
    return picture


def _place(value: float, of: tuple[float, float], first: float, last: float) -> float:
    share = (value - of[0]) / ((of[1] - of[0]) or 1.0)
    return first + min(max(share, 0.0), 1.0) * (last - first)


def _line(
    x: NDArray[np.float64], y: NDArray[np.float64], x_range: tuple[float, float], y_range: tuple[float, float]
) -> list[tuple[float, float]]:
    return [
        (_place(a, x_range, MARGIN, WIDTH - MARGIN / 2), _place(b, y_range, HEIGHT - MARGIN, MARGIN / 2))
        for a, b in zip(x.tolist(), y.tolist(), strict=True)
        if math.isfinite(b)
    ]


def confusion_matrices(matrices: dict[str, NDArray[np.int64]], classes: list[str]) -> Image.Image:
    """Draw confusion matrices side by side; the shade of an entry is its share of the row.

    Args:
        matrices: part -> counts, shape (classes, classes); rows are true classes, columns predicted ones.
        classes: names.
    """
    cell = max(18, min(44, 480 // len(classes)))
    edge, label = cell * len(classes), 8 * max(len(name[:8]) for name in classes) + 8
    picture = Image.new("RGB", ((edge + label) * len(matrices) + 8, edge + 2 * 18 + label), "white")
    draw = ImageDraw.Draw(picture)
    for place, (part, matrix) in enumerate(matrices.items()):
        left, top = place * (edge + label) + label, 18
        draw.text((left, 2), f"{part}: row true, column predicted", fill=BLACK)
        shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
        for i, name in enumerate(classes):
            draw.text((left - label + 4, top + i * cell + cell / 2 - 6), name[:8], fill=BLACK)
            _write_upwards(picture, name[:8], (left + i * cell + cell // 2 - 6, top + edge + 2))
            for j in range(len(classes)):
                box = (left + j * cell, top + i * cell, left + (j + 1) * cell - 1, top + (i + 1) * cell - 1)
                shade = float(shares[i, j])
                draw.rectangle(box, fill=tuple(round(255 - shade * (255 - c)) for c in BLUE))
                if cell >= 24:
                    draw.text((box[0] + 3, box[1] + 3), str(int(matrix[i, j])), fill="white" if shade > 0.5 else BLACK)
    return picture


def _write_upwards(picture: Image.Image, text: str, at: tuple[int, int]) -> None:
    tile = Image.new("RGB", (8 * len(text) + 4, 14), "white")
    ImageDraw.Draw(tile).text((0, 0), text, fill=BLACK)
    picture.paste(tile.rotate(270, expand=True), at)


def mistakes(data: Path, image_ids: list[str], captions: list[str]) -> Image.Image:
    """Draw images of the data in rows of four, each with a caption. Call it only if the user allows it.

    Args:
        data: folder of the packed data.
        image_ids: which images.
        captions: one for each image; 26 characters are shown.
    """
    from trainables.data.packing.prepare import load

    packed = load(data)
    ids = packed.index.column("image_id").to_pylist()
    rows = np.array([ids.index(image_id) for image_id in image_ids], dtype=np.int64)
    edge, columns = 160, 4
    picture = Image.new("RGB", (edge * columns, (edge + 18) * math.ceil(len(rows) / columns)), "white")
    for place, (pixels, text) in enumerate(zip(packed.gather(rows), captions, strict=True)):
        at = (place % columns * edge, place // columns * (edge + 18))
        picture.paste(Image.fromarray(pixels).resize((edge, edge)), at)
        ImageDraw.Draw(picture).text((at[0] + 2, at[1] + edge + 2), text[:26], fill=BLACK)
    return picture

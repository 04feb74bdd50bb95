"""Pictures: few, and none of the data unless allowed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from sweep.mirror import plots
from trainables.data.packing.prepare import prepare
from trainables.data.readers.builtin.generated import Generated
from trainables.specs import Stage
from trainables.store.study import Study


def colours(picture: Image.Image) -> set[Any]:
    return {colour for _, colour in picture.getcolors(picture.width * picture.height) or ()}


def points(losses: list[float], chosen: int) -> dict[str, list[Any]]:
    rates = [10.0 ** (-4 + i) for i in range(len(losses))]
    marks = [place == chosen for place in range(len(losses))]
    return {"learning_rate": rates, "loss": losses, "smoothed_loss": losses, "chosen": marks}


def test_a_curve_shows_the_chosen_rate_and_survives_a_loss_that_is_none() -> None:
    drawn = plots.curve(points([2.0, 1.5, 1.0, float("nan"), float("inf")], 2))
    assert {plots.BLUE, plots.RED} <= colours(drawn)
    assert plots.RED not in colours(plots.curve(points([2.0, 1.0], -1)))
    assert colours(plots.curve(points([float("nan")] * 3, 0))) == {(255, 255, 255)}


@pytest.mark.parametrize("classes", [2, 21, 60])
def test_a_matrix_is_shaded_by_the_share_of_its_row(classes: int) -> None:
    diagonal = np.eye(classes, dtype=np.int64) * 5
    drawn = plots.confusion_matrices({"val": diagonal, "test": diagonal * 0}, [f"class {i}" for i in range(classes)])
    assert plots.BLUE in colours(drawn)
    assert plots.BLUE not in colours(plots.confusion_matrices({"val": diagonal * 0}, ["a"] * classes))
    assert drawn.width < 2400


def test_pictures_of_the_data_only_where_they_are_allowed(
    study: Study, stages: list[Stage], finish: Any, tmp_path: Path
) -> None:
    spec = Generated(reader="generated", generator="blood_cells", images_per_class=2, size=32)
    packed = prepare("cells", spec, tmp_path, tmp_path / "cache")
    finish(study, stages[0])
    folder = study.folder(stages[0])
    result = folder.result()
    assert result is not None
    assert set(plots.of_stage(stages[0], folder, result, None)) == {"confusion_matrix"}
    ids = packed.index.column("image_id").take(pa.array([0, 1, 2, 3]))
    table = folder.storage.read_table(f"stages/{folder.name}/predictions.parquet")
    table = table.set_column(0, "image_id", ids).set_column(2, "label", pa.array([0, 1, 0, 1]))
    folder.files.write_table("predictions.parquet", table)
    drawn = plots.of_stage(stages[0], folder, result, str(packed.folder))
    assert set(drawn) == {"confusion_matrix", "val_mistakes"}
    shown = np.asarray(drawn["val_mistakes"].crop((0, 0, 160, 160)))
    wrong = Image.fromarray(packed.gather(np.array([2]))[0]).resize((160, 160))  # the one val image it got wrong
    assert np.array_equal(shown, np.asarray(wrong))

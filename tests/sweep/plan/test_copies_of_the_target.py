"""Target images in a pre-training set, in whatever format; and that a begun study's split is read from it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from sweep.commands.study_header import write_study
from sweep.grid.grid import Grid
from sweep.monitor.plan_view import plan_tables
from sweep.plan.begun_study import begun_study
from sweep.plan.inputs import Inputs, gather
from sweep.plan.plan import make_plan
from trainables.data.splits import splits
from trainables.store.storage import Storage
from trainables.store.study import Study

Load = Callable[..., Grid]


def picture(seed: int) -> Image.Image:
    """A smooth random picture, as photographs are: pure noise does not outlive a JPEG."""
    noise = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((64, 64), Image.Resampling.BICUBIC)


@pytest.fixture
def document(document: dict[str, Any], tmp_path: Path) -> dict[str, Any]:
    """A grid whose two data sets are folders of 2 classes of 6 images, all different."""
    for first, name in enumerate(("cells", "tissue")):
        document["data"][name] = {"reader": "image_folder", "path": name, "size": 32}
        for number in range(12):
            file = tmp_path / "data" / name / "ab"[number % 2] / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            picture(100 * first + number).save(file)
    return document


@pytest.mark.parametrize("kind", ["tif", "jpg", "flipped"])
def test_a_target_image_in_a_pretraining_set_is_refused_or_left_out(
    kind: str, document: dict[str, Any], tmp_path: Path, load: Load, look: Callable[..., Inputs]
) -> None:
    image = picture(3)
    file = tmp_path / "data/tissue/a/planted.png"
    {
        "tif": lambda: image.save(file.with_suffix(".tif")),
        "jpg": lambda: image.save(file.with_suffix(".jpg"), quality=60),
        "flipped": lambda: image.transpose(Image.Transpose.TRANSVERSE).save(file),
    }[kind]()
    (said,) = look(load(document)).missing
    assert "data set tissue: 1 of its images are also in the target" in said
    assert "a/planted" in said
    assert "`exclude_target: true`" in said
    assert not look(load(document, "edition=1")).missing, "an old study goes on as it did"
    inputs = look(load(document, "data.tissue.exclude_target=true"))
    assert not inputs.missing
    used = inputs.splits["tissue"].table.column("image_id").to_pylist()
    assert len(used) == 12
    assert not any("planted" in name for name in used)
    assert any("1 images are left out: the target has them too" in note for note in inputs.splits["tissue"].notes)


def test_the_target_cannot_exclude_itself(document: dict[str, Any], load: Load, look: Callable[..., Inputs]) -> None:
    (said,) = look(load(document, "data.cells.exclude_target=true")).missing
    assert "exclude_target is for pre-training sets" in said


def test_a_plan_lists_classes_with_counts_and_what_was_skipped_and_turned(
    document: dict[str, Any], tmp_path: Path, load: Load, look: Callable[..., Inputs]
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    picture(50).save(tmp_path / "data/cells/a/turned.jpg", exif=exif)
    (tmp_path / "data/cells/b/._0.png").write_bytes(b"x")
    grid = load(document)
    inputs = look(grid)
    plan = make_plan(grid, inputs)
    text = "\n".join(str(one) for one in plan_tables(plan, [], inputs))
    for what in ("cells: 13 images, 2 classes: a 7, b 6", "turned by its orientation 6: 1 images", "1 files hidden"):
        assert what in text
    data = plan.document("x", inputs)["data"]["cells"]
    assert data["classes"] == {"a": 7, "b": 6}
    assert any("turned" in note for note in data["notes"])


def test_a_begun_study_keeps_its_splits_when_others_would_be_drawn(
    document: dict[str, Any], tmp_path: Path, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid, study = load(document), Study(Storage(tmp_path / "studies" / "x"))

    def look(cache: str, grid: Grid = grid) -> Inputs:
        return gather(grid, tmp_path / "data", None, tmp_path / cache, begun=begun_study(study))

    first = look("one")
    write_study(study, "x", make_plan(grid, first), first, {})
    monkeypatch.setattr(splits, "derive_seed", lambda *parts: 12345)  # as if another version drew other splits
    for name in ("cells", "tissue"):
        assert look("two").splits[name] == first.splits[name]
        assert look("two").splits[name] == first.splits[name], "and again, from the cache"
    drawn = look("three", load(document, "split.seed=5"))
    assert drawn.splits["cells"].digest != first.splits["cells"].digest, "another specification draws anew"
    file = study.storage.path(f"splits/{first.splits['cells'].digest}.parquet")
    Storage(Path(file).parent).write_table(Path(file).name, pa.table({"fold": [0]}))
    assert look("four").splits["cells"].digest != first.splits["cells"].digest, "a damaged one counts for nothing"

"""Tests of the share of heat in cell and nucleus."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydantic import TypeAdapter

from analysis.explain.checks.mask_overlap import fit, heat_shares, masks_of, read_mask
from analysis.explain.records.records import IN_CELL, IN_NUCLEUS
from trainables.data.readers.builtin.generated import Generated
from trainables.data.readers.data_spec import DataSpec

MASK = np.array([[0, 0, 0, 0], [0, 1, 1, 0], [0, 1, 2, 0], [0, 0, 0, 0]], np.uint8)


def as_png(values: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(values).save(stream, "png")
    return stream.getvalue()


def test_shares_of_a_uniform_map_are_those_of_the_area() -> None:
    assert heat_shares(np.ones((4, 4), np.float32), MASK) == {IN_CELL: 4 / 16, IN_NUCLEUS: 1 / 16}


def test_shares_follow_the_heat() -> None:
    heat = np.zeros((4, 4), np.float32)
    heat[2, 2], heat[1, 1], heat[0, 0] = 3, 2, 5
    assert heat_shares(heat, MASK) == pytest.approx({IN_CELL: 0.5, IN_NUCLEUS: 0.3})


def test_what_is_undefined_is_none() -> None:
    assert heat_shares(np.zeros((4, 4), np.float32), MASK) == {IN_CELL: None, IN_NUCLEUS: None}
    without_nucleus = np.minimum(MASK, 1)
    assert heat_shares(np.ones((4, 4), np.float32), without_nucleus) == {IN_CELL: 4 / 16, IN_NUCLEUS: None}


def test_a_mask_file_may_hold_grey_levels_or_the_values_themselves() -> None:
    assert np.array_equal(read_mask(as_png(np.array([0, 128, 255], np.uint8)[MASK])), MASK)
    assert np.array_equal(read_mask(as_png(MASK)), MASK)


def test_a_mask_is_cut_and_scaled_as_the_image_is() -> None:
    wide = np.zeros((4, 8), np.uint8)
    wide[:, 2:6] = MASK
    assert np.array_equal(fit(wide, 4), MASK)
    assert np.array_equal(fit(MASK, 8), MASK.repeat(2, 0).repeat(2, 1))


def test_generated_cells_bring_their_masks() -> None:
    spec = Generated(reader="generated", generator="blood_cells", images_per_class=2, size=48)
    mask = masks_of(spec, None, None, 48)("monocyte/0001")
    assert mask is not None
    assert mask.shape == (48, 48)
    assert set(np.unique(mask)) == {0, 1, 2}
    scenes = Generated(reader="generated", generator="scenes", images_per_class=2, size=48)
    assert masks_of(scenes, None, None, 48)(_first(scenes)) is None


def _first(spec: Generated) -> str:
    return spec.scan(Path()).items[0].image_id


def test_masks_lie_beside_the_bone_marrow_images_or_where_they_are_said_to(tmp_path: Path) -> None:
    spec = TypeAdapter(DataSpec).validate_python({"reader": "bone_marrow"})
    folder = tmp_path / "bone_marrow" / "masks"
    folder.mkdir(parents=True)
    (folder / "NGS_00001.png").write_bytes(as_png(MASK))
    for root, given in ((tmp_path, None), (None, folder)):
        mask_of = masks_of(spec, root, given, 4)
        found = mask_of("BM_cytomorphology_data/NGS/0001-1000/NGS_00001.jpg")
        assert found is not None
        assert np.array_equal(found, MASK)
        assert mask_of("BM_cytomorphology_data/NGS/0001-1000/NGS_00002.jpg") is None
    assert masks_of(spec, None, None, 4)("NGS_00001.jpg") is None


def test_the_real_masks_are_of_cells(shared_data: Path) -> None:
    spec = TypeAdapter(DataSpec).validate_python({"reader": "bone_marrow"})
    mask = masks_of(spec, shared_data, None, 120)("BM_cytomorphology_data/EOS/EOS_00001.jpg")
    assert mask is not None
    assert set(np.unique(mask)) == {0, 1, 2}
    assert mask[60, 60] > 0

"""Tests of the split of real cells."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.trainables.support.split_checks import check, parts_of
from trainables.data.packing.prepare import Packed, prepare
from trainables.data.splits.splits import SplitSpec, cross_validation


@pytest.fixture(scope="module")
def real_cells(shared_data: Path, data_spec: Any, tmp_path_factory: pytest.TempPathFactory) -> Packed:
    spec = data_spec(reader="bone_marrow", groups="groups.csv", size=32)
    return prepare("cells", spec, shared_data, tmp_path_factory.mktemp("cache"))


def test_groups_of_real_cells_never_cross(real_cells: Packed) -> None:
    split = cross_validation("bone_marrow", real_cells, SplitSpec())
    check(split, real_cells, 5)
    rows = split.table.to_pylist()
    for fold in range(5):
        sides = defaultdict(set)
        for row in rows:
            if row["fold"] == fold:
                sides[row["group"]].add(row["split"])
        assert len(sides) == 298
        assert all(len(side) == 1 for side in sides.values())


def test_identical_real_cells_share_a_group(
    real_cells: Packed, shared_data: Path, data_spec: Any, tmp_path: Path
) -> None:
    without_groups = prepare("cells", data_spec(reader="bone_marrow", size=32), shared_data, tmp_path)
    for data, group in ((real_cells, "cell_112"), (without_groups, "identical-")):
        rows = cross_validation("bone_marrow", data, SplitSpec()).table.to_pylist()
        twins = [row for row in rows if row["image_id"].endswith(("LYT_00044.jpg", "LYT_00047.jpg"))]
        assert len(twins) == 10
        assert len({row["group"] for row in twins}) == 1
        assert str(twins[0]["group"]).startswith(group)
        assert all(len({row["split"] for row in twins if row["fold"] == fold}) == 1 for fold in range(5))


def test_classes_of_real_cells_keep_their_shares(real_cells: Packed) -> None:
    counts = np.bincount(real_cells.labels)
    for part in parts_of(cross_validation("bone_marrow", real_cells, SplitSpec()), real_cells):
        tested = np.bincount(real_cells.labels[np.array(part) == "test"])
        assert np.abs(tested - counts / 5).max() <= 1

"""Tests of the verification of a split."""

from __future__ import annotations

import pyarrow as pa
import pytest

from trainables.data.splits.verification import verify_split


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"split": ["train", "val", "test", "test"]}, "1 of 1 groups lie in two parts of a fold"),
        ({"split": ["test", "train", "test", "val"]}, "2 images are not tested exactly once"),
        ({"image_id": ["a", "a", "a", "b"]}, "an image is missing or repeated in a fold"),
    ],
    ids=["leak", "not tested", "lost"],
)
def test_a_split_that_does_not_hold_is_not_proved(change: dict[str, list[str]], words: str) -> None:
    columns = {"fold": [0, 0, 1, 1], "image_id": ["a", "b"] * 2, "label": [0, 1] * 2}
    whole = columns | {"group": [None] * 4, "split": ["train", "test", "test", "train"]}
    assert verify_split(pa.table(whole | {"group": pa.nulls(4, pa.string())})).startswith(
        "no groups are given: 0 of 2 images"
    )
    with pytest.raises(ValueError, match=words):
        verify_split(pa.table(whole | {"group": pa.array(["p", "p", None, None], pa.string())} | change))

"""Tests of what all readers share: messages, classes left out, a part of the images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tests.trainables.support.reading import Spec, refused

ALL = {
    "bone_marrow": {},
    "cats_vs_dogs": {},
    "pcam": {},
    "image_folder": {"path": "my_set"},
}


@pytest.mark.parametrize("reader", ALL)
def test_a_missing_folder_is_refused_with_the_way_to_name_it(tmp_path: Path, data_spec: Spec, reader: str) -> None:
    (tmp_path / "something_else").mkdir()
    spec = data_spec(reader=reader, **ALL[reader])
    refused(spec, tmp_path, f"no folder {tmp_path / spec.path}", "holds something_else", "--data", spec.path)
    refused(spec, tmp_path / "nowhere", f"{tmp_path / 'nowhere'} is no folder")


@pytest.mark.parametrize("reader", ALL)
def test_an_empty_folder_is_refused(tmp_path: Path, data_spec: Spec, reader: str) -> None:
    spec = data_spec(reader=reader, **ALL[reader])
    (tmp_path / spec.path).mkdir()
    refused(spec, tmp_path, str(tmp_path / spec.path), "holds nothing")


def test_an_unknown_reader_or_field_is_refused(data_spec: Spec) -> None:
    with pytest.raises(ValidationError, match="bone_marrow"):
        data_spec(reader="imagenet")
    with pytest.raises(ValidationError, match="Extra inputs"):
        data_spec(reader="pcam", edge=96)


def test_at_most_so_many_images_of_each_class_are_used(
    tmp_path: Path, data_spec: Callable[..., Any], write_image: Callable[..., Path]
) -> None:
    for name, count in (("A", 9), ("B", 2)):
        for number in range(count):
            write_image(tmp_path / "cells" / name / f"{number}.png")
    whole = data_spec(reader="image_folder", path="cells").listing(tmp_path)
    some = data_spec(reader="image_folder", path="cells", at_most=3).listing(tmp_path)
    names = [item.image_id for item in some.items]
    assert [name[0] for name in names] == ["A", "A", "A", "B", "B"]
    assert names == sorted(names)
    places = {item.image_id: i for i, item in enumerate(whole.items)}
    assert [some.load(i) for i in range(5)] == [whole.load(places[name]) for name in names]
    fewer = data_spec(reader="image_folder", path="cells", at_most=2).listing(tmp_path)
    assert {item.image_id for item in fewer.items} < set(names), "a smaller trial is part of a larger one"

"""Tests of the reader of tables."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.trainables.support.reading import Spec, Write, refused, scanned
from trainables.data.packing.prepare import prepare
from trainables.errors import UserError


@pytest.fixture
def listed(tmp_path: Path, write_image: Write) -> Path:
    for number in range(4):
        write_image(tmp_path / "set" / "images" / f"ü {number}.png", number)
    return tmp_path


ROWS = {
    "path": [f"images/ü {number}.png" for number in range(4)],
    "label": ["a", "b", "a", "b"],
    "group": ["p1", None, "p1", ""],
}
FOUND = {
    "images/ü 0.png": ("a", "p1", None),
    "images/ü 1.png": ("b", None, None),
    "images/ü 2.png": ("a", "p1", None),
    "images/ü 3.png": ("b", None, None),
}


def write_csv(file: Path, rows: Mapping[str, Any]) -> None:
    lines = [",".join("" if value is None else str(value) for value in row) for row in zip(*rows.values(), strict=True)]
    file.write_text("\n".join([",".join(rows), *lines]) + "\n", encoding="utf-8")


def test_a_csv_manifest(listed: Path, data_spec: Spec) -> None:
    write_csv(listed / "set" / "m.csv", ROWS)
    assert scanned(data_spec(reader="manifest", path="set/m.csv").scan(listed)) == FOUND


def test_a_parquet_manifest(listed: Path, data_spec: Spec) -> None:
    pq.write_table(pa.table(ROWS), listed / "set" / "m.parquet")
    listing = data_spec(reader="manifest", path="set/m.parquet").scan(listed)
    assert scanned(listing) == FOUND
    assert listing.load(2) == (listed / "set" / "images" / "ü 2.png").read_bytes()


def test_a_parquet_manifest_may_number_its_labels_and_groups(listed: Path, data_spec: Spec) -> None:
    numbered: dict[str, Any] = ROWS | {"label": [3, 11, 3, 11], "group": [7, None, 7, 8]}
    pq.write_table(pa.table(numbered), listed / "set" / "m.parquet")
    packed = prepare("m", data_spec(reader="manifest", path="set/m.parquet"), listed, listed / "cache")
    assert packed.classes == ("11", "3")
    assert packed.index.column("group").to_pylist() == ["7", None, "7", "8"]


def test_a_manifest_without_groups(listed: Path, data_spec: Spec) -> None:
    write_csv(listed / "set" / "m.csv", {name: ROWS[name] for name in ("label", "path")})
    found = scanned(data_spec(reader="manifest", path="set/m.csv").scan(listed))
    assert {group for _, group, _ in found.values()} == {None}


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (ROWS | {"path": ["images/ü 0.png", "images/gone.png", "x.png", "y.png"]}, ["3 images", "images/gone.png"]),
        ({"path": ROWS["path"], "class": ROWS["label"]}, ["has no column label; found: path, class"]),
        ({"file": ROWS["path"]}, ["has no column path, label; found: file"]),
        (ROWS | {"label": ["a", None, "a", "b"]}, ["has no label in row 2"]),
        ({"path": [], "label": []}, ["a header, but no row"]),
    ],
    ids=["missing images", "no label column", "no columns", "blank label", "no rows"],
)
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_faulty_manifest_is_refused(
    listed: Path, data_spec: Spec, kind: str, rows: dict[str, list[Any]], words: list[str]
) -> None:
    file = listed / "set" / f"m.{kind}"
    if kind == "csv":
        write_csv(file, rows)
    else:
        pq.write_table(pa.table({name: pa.array(values, pa.string()) for name, values in rows.items()}), file)
    refused(data_spec(reader="manifest", path=f"set/m.{kind}"), listed, str(file), *words)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("m.csv", "path,label\nimages/ü 0.png,a\n".encode("latin-1"), ["m.csv", "CSV in UTF-8"]),
        ("m.parquet", b"path,label\n", ["m.parquet", "cannot be read as Parquet"]),
    ],
)
def test_a_manifest_of_another_format_is_refused(
    listed: Path, data_spec: Spec, name: str, content: bytes, words: list[str]
) -> None:
    (listed / "set" / name).write_bytes(content)
    refused(data_spec(reader="manifest", path=f"set/{name}"), listed, *words)


def test_a_missing_manifest_is_refused(listed: Path, data_spec: Spec) -> None:
    refused(data_spec(reader="manifest", path="set/m.csv"), listed, "no file", "set/m.csv", "holds images")


def test_an_image_listed_twice_is_refused(listed: Path, data_spec: Spec) -> None:
    write_csv(listed / "set" / "m.csv", {"path": ["images/ü 0.png"] * 2, "label": ["a", "b"]})
    with pytest.raises(
        UserError, match=r"data set mine: 1 images are listed more than once, the first: images/ü 0\.png"
    ):
        prepare("mine", data_spec(reader="manifest", path="set/m.csv"), listed, listed / "cache")

"""Tests of data sets whose images lie inside Parquet files."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from trainables.data.packing.prepare import prepare
from trainables.data.readers.builtin import parquet
from trainables.errors import UserError

Spec = Callable[..., Any]
Write = Callable[..., Path]


@pytest.fixture
def encoded(tmp_path: Path, write_image: Write) -> list[bytes]:
    return [write_image(tmp_path / "made" / f"{number}.png", number).read_bytes() for number in range(12)]


def structs(images: Sequence[bytes], paths: Sequence[str | None]) -> pa.Array:
    rows = [{"bytes": image, "path": path} for image, path in zip(images, paths, strict=True)]
    return pa.array(rows, pa.struct([("bytes", pa.binary()), ("path", pa.string())]))


def hugging_face(names: list[str]) -> dict[str, str]:
    features = {"image": {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"}}
    return {"huggingface": json.dumps({"info": {"features": features}})}


def write(file: Path, columns: dict[str, Any], metadata: dict[str, str] | None = None, **options: Any) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns).replace_schema_metadata(metadata), file, **options)


def refused(spec: Any, root: Path, *words: str) -> None:
    with pytest.raises(UserError) as caught:
        spec.scan(root)
    assert not [word for word in words if word not in str(caught.value)], str(caught.value)


def test_files_as_hugging_face_writes_them(tmp_path: Path, data_spec: Spec, encoded: list[bytes]) -> None:
    names = ["ABE", "Ärt"]
    for number, part in enumerate(["train", "validation", "test"]):
        rows = slice(4 * number, 4 * number + 4)
        paths = [f"{part} ü {row}.png" for row in range(4)]
        columns = {"image": structs(encoded[rows], paths), "label": [0, 1, 1, 0]}
        write(tmp_path / "set" / "data" / f"{part}-00000-of-00001.parquet", columns, hugging_face(names))
    listing = data_spec(reader="parquet", path="set").scan(tmp_path)
    assert [item.label for item in listing.items] == ["ABE", "Ärt", "Ärt", "ABE"] * 3
    assert [item.part for item in listing.items] == ["test"] * 4 + ["train"] * 4 + ["val"] * 4
    assert [item.image_id for item in listing.items[:2]] == ["test ü 0.png", "test ü 1.png"]
    assert [listing.load(row) for row in range(12)] == [*encoded[8:], *encoded[:4], *encoded[4:8]]


@pytest.mark.parametrize("paths", [["x.png"] * 12, [None] * 12, [f"{n}.png" for n in range(11)] + [None]])
def test_rows_without_a_path_of_their_own_are_named_by_number(
    tmp_path: Path, data_spec: Spec, encoded: list[bytes], paths: list[str | None]
) -> None:
    write(tmp_path / "a.parquet", {"image": structs(encoded, paths), "label": ["x", "y"] * 6})
    items = data_spec(reader="parquet", path="a.parquet").scan(tmp_path).items
    assert [item.image_id for item in items] == [f"a.parquet/{row}" for row in range(12)]


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary()])
def test_plain_bytes_names_given_and_groups(
    tmp_path: Path, data_spec: Spec, encoded: list[bytes], kind: pa.DataType
) -> None:
    columns = {"pic": pa.array(encoded, kind), "y": [0, 1] * 6, "group": [7, None] * 6, "who": ["p"] * 12}
    write(tmp_path / "set" / "b" / "1.parquet", columns)
    fields = {"reader": "parquet", "path": "set", "image": "pic", "label": "y", "classes": ["no", "yes"]}
    listing = data_spec(**fields).scan(tmp_path)
    assert [(item.image_id, item.label, item.group) for item in listing.items[:2]] == [
        ("b/1.parquet/0", "no", "7"),
        ("b/1.parquet/1", "yes", None),
    ]
    assert listing.load(5) == encoded[5]
    assert {item.group for item in data_spec(group="who", **fields).scan(tmp_path).items} == {"p"}


def test_integers_without_names_are_classes_of_their_own(tmp_path: Path, data_spec: Spec, encoded: list[bytes]) -> None:
    write(tmp_path / "a.parquet", {"image": encoded, "label": [3, 11] * 6})
    packed = prepare("set", data_spec(reader="parquet", path="a.parquet"), tmp_path, tmp_path / "cache")
    assert packed.classes == ("11", "3")
    assert len(packed.labels) == 12


def test_packed_images_are_those_of_a_folder(tmp_path: Path, data_spec: Spec, encoded: list[bytes]) -> None:
    """The same images from the two kinds of source: the same rows, the same bytes, the same fingerprint."""
    for number, content in enumerate(encoded):
        file = tmp_path / "folder" / "ab"[number % 2] / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    paths = [f"{'ab'[number % 2]}/{number}.png" for number in range(12)]
    write(tmp_path / "a.parquet", {"image": structs(encoded, paths), "label": ["a", "b"] * 6}, row_group_size=5)
    by_folder = prepare("set", data_spec(reader="image_folder", path="folder"), tmp_path, tmp_path / "cache")
    streamed = prepare("set", data_spec(reader="parquet", path="a.parquet"), tmp_path, tmp_path / "cache")
    assert streamed.fingerprint == by_folder.fingerprint
    order = [streamed.index.column("image_id").to_pylist().index(i) for i in by_folder.index["image_id"].to_pylist()]
    assert np.array_equal(streamed.gather(np.array(order)), by_folder.gather(np.arange(12)))


@pytest.mark.parametrize("group_rows", [1, 7, 100])
def test_any_row_is_had_in_any_order_by_many_threads(
    tmp_path: Path, data_spec: Spec, monkeypatch: pytest.MonkeyPatch, group_rows: int
) -> None:
    monkeypatch.setattr(parquet, "ROWS_AT_ONCE", 4)
    monkeypatch.setattr(parquet, "ROWS_AHEAD", 6)
    contents = [f"image {number}".encode() for number in range(100)]
    for number, rows in enumerate([slice(0, 60), slice(60, 60), slice(60, 100)]):
        columns = {"image": pa.array(contents[rows], pa.binary()), "label": pa.array(["x"] * 100, pa.string())[rows]}
        write(tmp_path / "set" / f"{number}.parquet", columns, row_group_size=group_rows)
    listing = data_spec(reader="parquet", path="set").scan(tmp_path)
    order = np.random.default_rng(0).permutation(100).tolist()
    assert [listing.load(row) for row in order] == [contents[row] for row in order]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(listing.load, range(100))) == contents


def test_a_row_group_is_never_held_in_whole(tmp_path: Path, data_spec: Spec) -> None:
    """Some writers make one row group of a whole set."""
    rng = np.random.default_rng(0)
    columns = {"image": [rng.bytes(20_000) for _ in range(3000)], "label": ["x"] * 3000}
    write(tmp_path / "a.parquet", columns, row_group_size=3000, write_batch_size=32, data_page_size=1 << 16)
    del columns
    listing = data_spec(reader="parquet", path="a.parquet").scan(tmp_path)
    before, most = pa.total_allocated_bytes(), 0
    for row in range(3000):
        listing.load(row)
        most = max(most, pa.total_allocated_bytes() - before)
    assert 0 < most < 15e6  # of 60 MB


@pytest.mark.parametrize(
    ("columns", "fields", "words"),
    [
        ({"images": [b"x"], "label": ["a"]}, {}, ["has no column image; did you mean images?", "found: images, label"]),
        ({"image": [b"x"], "label": ["a"]}, {"group": "patient"}, ["has no column patient"]),
        ({"image": ["x.png"], "label": ["a"]}, {}, ["column image is string, expected the bytes of encoded images"]),
        ({"image": [{"path": "x"}], "label": ["a"]}, {}, ["column image is struct<path: string>"]),
        ({"image": [b"x", b"y"], "label": ["a", None]}, {}, ["has no label in row 1"]),
        ({"image": [b"x"], "label": [2]}, {"classes": ["no", "yes"]}, ["has the label 2", "for 0 to 1: no, yes"]),
        ({"image": [b"x"], "label": [-1]}, {"classes": ["no", "yes"]}, ["has the label -1"]),
        ({"image": pa.array([], pa.binary()), "label": pa.array([], pa.string())}, {}, ["holds no row"]),
    ],
)
def test_other_columns_are_refused(
    tmp_path: Path, data_spec: Spec, columns: dict[str, Any], fields: dict[str, Any], words: list[str]
) -> None:
    write(tmp_path / "a.parquet", columns)
    refused(data_spec(reader="parquet", path="a.parquet", **fields), tmp_path, "a.parquet", *words)


def test_what_is_no_parquet_file_is_refused(tmp_path: Path, data_spec: Spec, encoded: list[bytes]) -> None:
    refused(data_spec(reader="parquet", path="gone"), tmp_path, f"no Parquet file {tmp_path / 'gone'}", "holds made")
    (tmp_path / "empty").mkdir()
    refused(data_spec(reader="parquet", path="empty"), tmp_path, "no Parquet file", "holds nothing")
    (tmp_path / "a.parquet").write_bytes(b"PAR1 no more")
    refused(data_spec(reader="parquet", path="a.parquet"), tmp_path, "a.parquet cannot be read as Parquet")


def test_an_image_that_is_only_a_path_is_refused_when_it_is_read(tmp_path: Path, data_spec: Spec) -> None:
    rows = pa.array([{"bytes": None, "path": "x.png"}], pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
    write(tmp_path / "a.parquet", {"image": rows, "label": ["a"]})
    with pytest.raises(UserError, match="row 0 of .* only a path: use the reader `manifest`"):
        prepare("set", data_spec(reader="parquet", path="a.parquet"), tmp_path, tmp_path / "cache")


def test_real_cells_in_parquet_are_those_in_folders(shared_data: Path, data_spec: Spec, tmp_path: Path) -> None:
    folder = data_spec(reader="bone_marrow", size=32)
    listing = folder.scan(shared_data)
    names = sorted({item.label for item in listing.items})
    columns = {
        "image": structs([listing.load(i) for i in range(len(listing.items))], [i.image_id for i in listing.items]),
        "label": [names.index(item.label) for item in listing.items],
    }
    write(tmp_path / "train-00000-of-00001.parquet", columns, hugging_face(names), row_group_size=100)
    spec = data_spec(reader="parquet", path="train-00000-of-00001.parquet", size=32)
    mirror = prepare("mirror", spec, tmp_path, tmp_path / "cache")
    cells = prepare("cells", folder, shared_data, tmp_path / "cache")
    assert mirror.classes == cells.classes == tuple(names)
    rows = np.arange(len(cells.labels))
    assert len(mirror.labels) == len(rows)
    assert mirror.gather(rows).tobytes() == cells.gather(rows).tobytes()
    assert mirror.problems == cells.problems

"""Reading rules of files, tables and names: what is skipped, refused, put in one form, and said; and that edition 1 stays."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from trainables.data.readers.base import Listing
from trainables.data.readers.file_access import read_file
from trainables.errors import UserError

Spec = Callable[..., Any]
Write = Callable[..., Path]


@pytest.fixture
def root(tmp_path: Path, write_image: Write) -> Path:
    for number in range(3):
        write_image(tmp_path / "set" / "a" / f"{number}.png", number)
        write_image(tmp_path / "set" / "b" / f"{number}.png", 10 + number)
    return tmp_path


def listed(root: Path, data_spec: Spec, **fields: Any) -> Listing:
    listing: Listing = data_spec(**({"reader": "image_folder", "path": "set", "tidy": True} | fields)).listing(root)
    return listing


def ids(listing: Listing) -> list[str]:
    return [item.image_id for item in listing.items]


def test_hidden_files_and_those_of_systems_are_skipped_and_said(
    root: Path, data_spec: Spec, write_image: Write
) -> None:
    before = ids(listed(root, data_spec))
    for name in ("a/._0.png", "__MACOSX/a/0.png", "a/@eaDir/0.png/x.jpg", ".ipynb_checkpoints/0-checkpoint.png"):
        write_image(root / "set" / name)
    (root / "set" / "a" / "Thumbs.db").write_bytes(b"x")
    (root / "set" / "a" / ".DS_Store").write_bytes(b"x")
    tidy, first = listed(root, data_spec), listed(root, data_spec, tidy=False)
    assert ids(tidy) == before
    said = " ".join(tidy.notes)
    for what in ("1 files hidden", "a/._0.png", "3 files in hidden or service folders", "__MACOSX/", "a/@eaDir/"):
        assert what in said
    assert {item.label for item in first.items} == {"a", "b", "__MACOSX", ".ipynb_checkpoints"}


def test_formats_that_are_not_read_are_counted(root: Path, data_spec: Spec) -> None:
    for name in ("x.gif", "y.GIF", "z.jp2", "notes.txt"):
        (root / "set" / "a" / name).write_bytes(b"x")
    (said,) = listed(root, data_spec).notes
    assert "3 files of formats that are not read (2 .gif, 1 .jp2; read are .bmp, .jpeg" in said
    for file in (root / "set").glob("*/*.png"):
        file.unlink()
    with pytest.raises(UserError, match=r"no image in a class folder .*2 \.gif.* one of the endings \.bmp"):
        listed(root, data_spec)


def test_parts_are_no_classes_unless_it_is_said(tmp_path: Path, data_spec: Spec, write_image: Write) -> None:
    for number, name in enumerate(("train/cat", "train/dog", "val/cat", "test/dog")):
        write_image(tmp_path / "set" / name / "0.png", number)
    with pytest.raises(UserError, match=r"are parts, no classes: test, train, val, with cat, dog.*`parts: true`"):
        listed(tmp_path, data_spec)
    found = listed(tmp_path, data_spec, parts=True)
    assert {(item.label, item.part) for item in found.items} == {
        ("cat", "train"), ("dog", "train"), ("cat", "val"), ("dog", "test"),
    }  # fmt: skip
    assert {item.label for item in listed(tmp_path, data_spec, tidy=False).items} == {"train", "val", "test"}
    write_image(tmp_path / "set" / "more" / "cat" / "0.png", 9)
    assert {item.label for item in listed(tmp_path, data_spec).items} == {"train", "val", "test", "more"}
    with pytest.raises(UserError, match="is said to have parts, but holds the folder more"):
        listed(tmp_path, data_spec, parts=True)


def test_a_pipe_among_images_is_skipped_and_hangs_nobody(root: Path, data_spec: Spec) -> None:
    os.mkfifo(root / "set" / "a" / "pipe.png")
    (root / "set" / "a" / "folder.png").mkdir()
    for tidy in (False, True):
        found = listed(root, data_spec, tidy=tidy)
        assert len(found.items) == 6
        assert any("no regular files, e.g. a/pipe.png" in note for note in found.notes)
    with pytest.raises(OSError, match="no regular file"):
        read_file(root / "set" / "a" / "pipe.png")
    with pytest.raises(OSError, match="no regular file"):
        read_file(Path("/dev/zero"))


def table(root: Path, text: str, name: str = "table.csv") -> dict[str, Any]:
    (root / "set" / name).write_text(text, encoding="utf-8")
    return {"reader": "manifest", "path": f"set/{name}"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "path,label\na/0.png,benign, type 1\n",
            r"line 2 has 3 columns, the header 2 \(path, label\): 'a/0.png', 'benign'",
        ),
        ("path,label,group\na/0.png,adenoma\n", "line 2 has 2 columns, the header 3"),
        ("path,label,label\na/0.png,x,y\n", "column 'label' is there twice"),
        ("path,label\na/0.png,nan\n", r"has no label in row 1 \('nan'\)"),
        ("path,label\na/0.png,x\na/1.png,  \n", "has no label in row 2"),
        ("path;label\na/0.png;x\n", "has no column path, label; found: path;label"),
    ],
)
def test_a_table_whose_rows_are_not_whole_is_refused(root: Path, data_spec: Spec, text: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        listed(root, data_spec, **table(root, text))


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_labels_and_groups_are_put_in_one_form_and_said(root: Path, data_spec: Spec, kind: str) -> None:
    rows = [
        ("a/0.png", "cat", "p1"), ("a/1.png", "cat ", "p1 "), ("a/2.png", " cat", "nan"),
        ("b/0.png", "caf\u00e9", ""), ("b/1.png", "cafe\u0301", "p2"), ("b/2.png", "Cat", "p2"),
    ]  # fmt: skip
    text = "\n".join(["path,label,group", *(",".join(row) for row in rows)])
    spec = table(root, text)
    if kind == "parquet":
        columns = dict(zip(("path", "label", "group"), map(list, zip(*rows, strict=True)), strict=True))
        pq.write_table(pa.table(columns), root / "set" / "table.parquet")
        spec["path"] = "set/table.parquet"
    found = listed(root, data_spec, **spec)
    assert [item.label for item in found.items] == ["cat", "cat", "cat", "caf\u00e9", "caf\u00e9", "Cat"]
    assert [item.group for item in found.items] == ["p1", "p1", None, None, "p2", "p2"]
    said = "\n".join(found.notes)
    for what in ("label cat: 2 images had it as 'cat ', ' cat'", "labels that differ in case alone: Cat, cat",
                 "group p1: 1 images", "each such image is a group of its own"):  # fmt: skip
        assert what in said
    first = listed(root, data_spec, **spec, tidy=False)
    assert len({item.label for item in first.items}) == 6


@pytest.mark.parametrize("label", [float("nan"), None])
def test_a_missing_label_of_parquet_is_refused_by_its_row(root: Path, data_spec: Spec, label: float | None) -> None:
    columns = {"path": ["a/0.png", "a/1.png"], "label": pa.array([1.0, label], pa.float64(), from_pandas=False)}
    pq.write_table(pa.table(columns), root / "set" / "t.parquet")
    with pytest.raises(UserError, match="has no label in row 2"):
        listed(root, data_spec, reader="manifest", path="set/t.parquet")


@pytest.mark.parametrize(
    "column",
    [pa.array([["x"], ["y"]]), pa.array([{"a": 1}, {"a": 2}]), pa.array([[1], [2]])],
)
def test_a_column_of_another_type_is_a_message(root: Path, data_spec: Spec, column: pa.Array) -> None:
    pq.write_table(pa.table({"path": ["a/0.png", "a/1.png"], "label": column}), root / "set" / "t.parquet")
    with pytest.raises(UserError, match="column label is .*, expected text or numbers"):
        listed(root, data_spec, reader="manifest", path="set/t.parquet")


def test_a_name_in_another_unicode_form_is_found(root: Path, data_spec: Spec, write_image: Write) -> None:
    write_image(root / "set" / "a" / "zelle\u0301.png", 99)
    found = listed(root, data_spec, **table(root, "path,label\na/zell\u00e9.png,x\na/0.png,y\n"))
    assert ids(found) == ["a/zelle\u0301.png", "a/0.png"]
    assert any("another Unicode form of their names: 1 images" in note for note in found.notes)
    with pytest.raises(UserError, match=r"names 1 images that are not in .*: a/gone"):
        listed(root, data_spec, **table(root, "path,label\na/gone.png,x\na/0.png,y\n"))
    long = "n" * 300
    with pytest.raises(UserError, match="names 1 images that are not in"):
        listed(root, data_spec, **table(root, f"path,label\na/{long}.png,x\na/0.png,y\n"))


def test_a_groups_file_that_contradicts_itself_is_refused(root: Path, data_spec: Spec) -> None:
    rows = [f"{name}/{number}.png,p{number}" for name in "ab" for number in range(3)]
    (root / "set" / "groups.csv").write_text("\n".join(["path,group", *rows, "a/0.png,other"]))
    with pytest.raises(UserError, match=r"gives a/0\.png two groups: p0, other"):
        listed(root, data_spec, groups="groups.csv")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"background": "pink"}, "'pink' is no colour"),
        ({"depth": [5, 5]}, "does not rise"),
        ({"size": 10**9}, "less than or equal to 8192"),
        ({"keep": ["blurred"]}, "damaged"),
    ],
)
def test_a_rule_that_cannot_be_is_refused(data_spec: Spec, fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        data_spec(reader="image_folder", path="set", **fields)


def test_generated_images_are_bounded(data_spec: Spec) -> None:
    with pytest.raises(ValueError, match="less than or equal to 100000"):
        data_spec(reader="generated", generator="scenes", images_per_class=10**8)

"""Hostile data sets: ``python -m tests.fuzz.data``. What is accepted must be what an independent reader finds."""

from __future__ import annotations

import csv
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from tests.fuzz.bounded import Case, command
from tests.fuzz.images import Array, hostile_file, picture, valid_image
from trainables.data.__main__ import main
from trainables.data.packing.packed_dataset import load

Expected = dict[str, tuple[str, Array]]
"""Id of an image -> its label and pixels."""
NAMES = [
    "a", "b", "é", "e\u0301", "=1+1", "@x", "-1", "\x1b[31mred", "two\nlines", "x" * 230, "NaN", "None", "a,b", 'q"q', "01", " s ",
    "train", "test", ".hidden", "__MACOSX", "\u202eltr", "🧬", "%s{0}", "$(touch x)", "CON", "~", "tab\tx",
]  # fmt: skip
NUMBERS: list[Any] = [
    0,
    1,
    -1,
    2**31,
    2**63,
    2**64,
    10**9,
    10**300,
    1.5,
    float("nan"),
    float("inf"),
    True,
    None,
    "1",
    "1e-2",
    [],
    {},
    [1, 2],
    "x" * 300,
]
FIELDS = [
    "path", "size", "at_most", "max_undecodable", "leave_out", "orientation", "background", "depth", "keep", "tidy", "duplicates",
    "groups", "parts", "exclude_target", "classes", "image", "label", "reader", "generator", "images_per_class", "seed", "more",
]  # fmt: skip


def prepare(place: Path, spec: dict[str, Any] | str, *more: str) -> int:
    """Run the command on the data in ``place / data``."""
    text = spec if isinstance(spec, str) else yaml.safe_dump(spec, allow_unicode=False)
    return main(
        ["prepare", "cells", "--data", str(place / "data"), "--cache", str(place / "cache"), "--spec", text, *more]
    )


def compare(place: Path, expected: Expected, whole: bool) -> None:
    """Compare the prepared set with what was put there.

    Args:
        place: of the case.
        expected: images that are good.
        whole: all of them must be in the set, but for those that are left out by name.
    """
    data = load(next(place.glob("cache/cells-*/meta.json")).parent).verify()
    ids, left_out = data.index.column("image_id").to_pylist(), data.index.column("left_out").to_pylist()
    pixels = data.gather(np.arange(len(ids)))
    for row, name in enumerate(ids):
        if name in expected:
            label, wanted = expected[name]
            found = data.classes[data.labels[row]]
            assert found == label, f"{name!r} is {label!r}, read as {found!r}"
            assert np.array_equal(pixels[row], wanted), f"{name!r} has other pixels: {left_out[row]}"
    if whole:
        told = {problem["image_id"] for problem in data.problems}
        lost = expected.keys() - set(ids) - told
        assert not lost, f"lost without a word: {sorted(lost)[:3]}"
        assert not (set(ids) - expected.keys()), f"read, and never there: {sorted(set(ids) - expected.keys())[:3]}"


def good_images(rng: random.Random, folder: Path, labels: list[str], each: int = 4) -> dict[str, Array]:
    """Write good images into a folder for each label; return their pixels by path."""
    found: dict[str, Array] = {}
    for label in labels:
        (folder / label).mkdir(parents=True, exist_ok=True)
        for number in range(each):
            ending, content, pixels = valid_image(rng)
            (folder / label / f"{number}{ending}").write_bytes(content)
            found[f"{label}/{number}{ending}"] = pixels
    return found


def folders(rng: random.Random, place: Path) -> int:
    """Class folders of good images, with some hostile ones and odd names."""
    folder = place / "data" / "set"
    plain = rng.random() < 0.5
    labels = ["a", "b"] if plain else rng.sample(NAMES, 3)
    found = good_images(rng, folder, labels)
    hostile = rng.random() < 0.5
    if hostile:
        for number in range(rng.randrange(1, 4)):
            hostile_file(rng, folder / rng.choice(labels), f"odd{number}")
    spec = {"reader": "image_folder", "path": "set", "max_undecodable": rng.choice([0.01, 0.9])}
    status = prepare(place, spec, "--split", "{folds: 2}")
    if status == 0 and plain:
        compare(place, {name: (name.partition("/")[0], pixels) for name, pixels in found.items()}, not hostile)
    assert status == 0 or hostile or not plain, "good images were refused"
    return status


def tables(rng: random.Random, place: Path) -> int:
    """A table of images, good or damaged in one of many ways."""
    folder = place / "data" / "set"
    found = good_images(rng, folder / "img", ["a", "b"])
    rows = [{"path": f"img/{name}", "label": f"class {name[0]}", "group": f"g{n}"} for n, name in enumerate(found)]
    harm = rng.choice([None, "values", "bytes", "columns", "encoding", "rows"])
    if harm == "values":
        for _ in range(rng.randrange(1, 4)):
            rng.choice(rows)[rng.choice(["path", "label", "group"])] = str(
                rng.choice([*NAMES, *NUMBERS, "../../x", "/etc/passwd", "\0", ""])
            )
    if harm == "rows":
        rows += [dict(rng.choice(rows)) for _ in range(rng.choice([1, 1000]))]
    file = folder / "list.csv"
    with file.open("w", newline="", encoding="utf-8", errors="replace") as stream:
        writer = csv.DictWriter(stream, ["path", "label", "group"])
        writer.writeheader()
        writer.writerows(rows)
    _harm_table(rng, file, harm)
    status = prepare(place, {"reader": "manifest", "path": "set/list.csv"}, "--split", "{folds: 2}")
    if status == 0 and harm is None:
        compare(place, {f"img/{name}": (f"class {name[0]}", pixels) for name, pixels in found.items()}, whole=True)
    assert status == 0 or harm, "a good table was refused"
    return status


def _harm_table(rng: random.Random, file: Path, harm: str | None) -> None:
    text = file.read_text(encoding="utf-8")
    if harm == "bytes":
        content = bytearray(file.read_bytes())
        for _ in range(rng.choice([1, 20])):
            content[rng.randrange(len(content))] = rng.randrange(256)
        file.write_bytes(content)
    elif harm == "columns":
        old = rng.choice(["path,label,group", ",class a,", "\r\n"])
        file.write_text(
            text.replace(old, rng.choice(["path,label", "a", ",,,,", "path,path,label", "x" * 200_000, "\n\n"]), 2),
            encoding="utf-8",
        )
    elif harm == "encoding":
        file.write_bytes(
            text.replace("class a", "clässe ä").encode(rng.choice(["utf-16", "latin-1", "utf-8-sig", "cp037"]))
        )


def parquets(rng: random.Random, place: Path) -> int:
    """Parquet files of good images with columns of every type, or with damaged bytes."""
    folder = place / "data" / "set"
    folder.mkdir(parents=True)
    count = rng.choice([0, 1, 8])
    images = [valid_image(rng) for _ in range(count)]
    labels: list[Any] = [rng.choice(["a", "b"]) for _ in images]
    good = count == 8 and len(set(labels)) == 2 and rng.random() < 0.5
    columns = {
        "image": pa.array([content for _, content, _ in images], pa.binary()),
        "label": pa.array(labels, pa.string()),
    }
    if not good:
        columns = {name: _odd_column(rng, column) for name, column in columns.items()}
        columns = {rng.choice([name, name, name.upper(), ""]): column for name, column in columns.items()}
    file = folder / rng.choice(["train-00000-of-00001.parquet", "x.parquet"])
    pq.write_table(pa.table(columns), file)
    if not good and rng.random() < 0.3:
        content = bytearray(file.read_bytes())
        for _ in range(rng.choice([1, 10])):
            content[rng.randrange(len(content))] = rng.randrange(256)
        file.write_bytes(content[: rng.randrange(len(content))] if rng.random() < 0.5 else content)
    status = prepare(place, {"reader": "parquet", "path": "set", "max_undecodable": 0.5})
    if status == 0 and good:
        wanted = {f"{file.name}/{n}": (labels[n], pixels) for n, (_, _, pixels) in enumerate(images)}
        compare(place, wanted, whole=True)
    assert status == 0 or not good, "a good Parquet file was refused"
    return status


def _odd_column(rng: random.Random, column: pa.Array) -> pa.Array:
    count = len(column)
    made: list[Callable[[], pa.Array]] = [
        lambda: column,
        lambda: pa.array([None] * count, pa.string()),
        lambda: pa.nulls(count),
        lambda: pa.array([rng.choice([0, 1, -1, 2**62]) for _ in range(count)]),
        lambda: pa.array([rng.choice([0.5, float("nan"), float("inf")]) for _ in range(count)]),
        lambda: pa.array([True] * count),
        lambda: pa.array([10**15] * count, pa.timestamp("ns")),
        lambda: pa.array([10**15] * count, pa.timestamp("s")),
        lambda: pa.array([2**62] * count, pa.duration("s")),
        lambda: pa.array([["a"]] * count, pa.list_(pa.string())),
        lambda: pa.array(
            [{"bytes": b"x", "path": None}] * count, pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        ),
        lambda: pa.array([{"path": 3}] * count, pa.struct([("path", pa.int64())])),
        lambda: pa.array(["a"] * count).dictionary_encode(),
        lambda: pa.array(["\x1b[31m\n"] * count),
        lambda: pa.array([b"\xff\xfe"] * count, pa.large_binary()),
    ]
    return rng.choice(made)()


def hdf5(rng: random.Random, place: Path) -> int:
    """PatchCamelyon's files, with arrays of other types and shapes, links and claims."""
    folder = place / "data" / "set"
    folder.mkdir(parents=True)
    expected: Expected = {}
    odd = rng.choice([None, ("train", "x"), ("test", "y"), ("valid", "x"), ("train", "y")])
    for part in ("train", "valid", "test"):
        pixels = np.stack([picture(rng) for _ in range(6)])
        labels = np.array([0, 1, 0, 1, 0, 1], np.uint8).reshape(6, 1, 1, 1)
        expected |= {f"{part}/{n}": ("tumour" if n % 2 else "normal", pixels[n]) for n in range(6)}
        for key, values in (("x", pixels), ("y", labels)):
            with h5py.File(folder / f"camelyonpatch_level_2_split_{part}_{key}.h5", "w") as file:
                if (part, key) == odd:
                    _odd_array(rng, file, key, values)
                else:
                    file[key] = values
    status = prepare(place, {"reader": "pcam", "path": "set"})
    if status == 0 and odd is None:
        compare(place, expected, whole=True)
    assert status == 0 or odd, "good HDF5 files were refused"
    return status


def _odd_array(rng: random.Random, file: h5py.File, key: str, values: Array) -> None:
    made: list[Callable[[], object]] = [
        lambda: file.create_dataset(key, (10**9, 96, 96, 3), "u1", fillvalue=7, chunks=(1, 96, 96, 3)),
        lambda: file.create_dataset(key, (rng.choice([10**12, 6]), 40_000, 40_000, 3), "u1", chunks=(1, 1024, 1024, 3)),
        lambda: file.create_dataset(key, data=rng.choice([1, "x", 0.5])),
        lambda: file.create_group(key),
        lambda: file.__setitem__(key, h5py.SoftLink(f"/{key}")),
        lambda: file.__setitem__(key, h5py.SoftLink("/nowhere")),
        lambda: file.__setitem__(key, h5py.ExternalLink("/etc/passwd", "/x")),
        lambda: file.create_dataset(key, data=values.astype(rng.choice(["f4", "i8", "u2", "c8"]))),
        lambda: file.create_dataset(key, data=values[..., 0]),
        lambda: file.create_dataset(key, data=values[:3]),
        lambda: file.create_dataset(key, data=values[:0]),
        lambda: file.create_dataset("z", data=values),
        lambda: file.create_dataset(key, data=np.array([b"x"] * 6)),
        lambda: file.create_dataset(key, data=values, external=[("outside.raw", 0, h5py.h5f.UNLIMITED)]),
    ]
    rng.choice(made)()


def specs(rng: random.Random, place: Path) -> int:
    """Good images under a specification that is odd."""
    good_images(rng, place / "data" / "set", ["a", "b"], 2)
    spec: dict[Any, Any] = {
        "reader": rng.choice(["image_folder", "generated", "manifest", "parquet", "bone_marrow"]),
        "path": "set",
    }
    if spec["reader"] == "generated":
        spec |= {"generator": "scenes", "images_per_class": 2, "size": 32}
        del spec["path"]
    for _ in range(rng.randrange(1, 4)):
        values = [
            *NUMBERS,
            *NAMES,
            "..",
            "/",
            "/dev/zero",
            "set/../../..",
            "\0",
            ["a"],
            [0, 1],
            [1, 0],
            [0, 10**400],
            "white",
            "#12345g",
        ]
        spec[rng.choice([*FIELDS, rng.choice(NAMES), 1])] = rng.choice(values)
    text: dict[Any, Any] | str = spec
    if rng.random() < 0.3:
        text = rng.choice(
            [
                "{reader: !!python/object/apply:os.system [touch x]}", "[" * 3000, "{a: " * 500, "&a [*a, *a]", "{? [1, 2] : 3}",
                "{reader: image_folder, path: !!binary x}", "{reader: image_folder, path: 2026-12-01}", "\ud800", "a\0b", "", "{}",
                "{reader: image_folder, path: set, size: 0x20}", "{reader: image_folder, path: set, size: 1:30}", "{<<: 3}",
                "{reader: image_folder, path: set, seed: " + "9" * 5000 + "}", "{reader: image_folder, reader: parquet, path: set}",
                "{reader: image_folder, path: &x [*x]}", "{reader: image_folder, path: \"\\ud800\"}", "- a\n- b", "%TAG ! x", "!!set {a}",
            ]
        )  # fmt: skip
    split = rng.choice(
        [[], ["--split", "{folds: 2}"], ["--split", f"{{folds: {rng.choice([0, 1, 10**9, 'x', '1e400'])}}}"]]
    )
    return prepare(place, text, *split)


CASES: dict[str, Case] = {one.__name__: one for one in (folders, tables, parquets, hdf5, specs)}

if __name__ == "__main__":
    sys.exit(command(__doc__, CASES))

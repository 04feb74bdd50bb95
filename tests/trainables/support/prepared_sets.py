"""What is in a prepared data set, and how it may be damaged."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from trainables.data.packing.manifest import META
from trainables.data.packing.packed_dataset import INDEX, PROBLEMS, Packed


def ids(packed: Packed) -> list[str]:
    return packed.index.column("image_id").to_pylist()


def all_images(packed: Packed) -> np.ndarray:
    return packed.gather(np.arange(len(packed.labels)))


def left_in(cache: Path) -> list[Path]:
    """What lies in a cache but the files that only ever serve as locks, and the nodes' notes of what they verified."""
    return [path for path in cache.iterdir() if path.suffix not in (".lock", ".verified")] if cache.exists() else []


def content(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


def shard(folder: Path, number: int = 1) -> Path:
    (found,) = folder.glob(f"shard-{number:05}-*")
    return found


def flip(file: Path, place: int) -> None:
    """Change one bit in place; the file keeps its size and its time of modification."""
    status = file.stat()
    with file.open("r+b") as stream:
        stream.seek(place, os.SEEK_END if place < 0 else os.SEEK_SET)
        byte = stream.read(1)[0]
        stream.seek(-1, os.SEEK_CUR)
        stream.write(bytes([byte ^ 1]))
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))


def cut(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def swap(one: Path, another: Path) -> None:
    aside = one.with_name("aside")
    one.rename(aside)
    another.rename(one)
    aside.rename(another)


def replace_by(one: Path, another: Path) -> None:
    """Put another file under its own name in the place of one."""
    one.unlink()
    shutil.copy(another, one.parent)


def edit_table(file: Path, column: str, value: Any) -> None:
    table = pq.ParquetFile(file).read()
    place = table.schema.get_field_index(column)
    values = [value, *table.column(column).to_pylist()[1:]]
    pq.write_table(
        table.set_column(place, table.schema.field(place), pa.array(values, table.schema.field(place).type)), file
    )


def edit_meta(folder: Path, **values: Any) -> None:
    meta = json.loads((folder / META).read_text())
    (folder / META).write_text(json.dumps(meta | values))


def rewrite_record(file: Path, record: bytes) -> None:
    """Put another record behind the images of a shard."""
    whole = file.read_bytes()
    length = int.from_bytes(whole[-8:])
    file.write_bytes(whole[: -8 - length] + record + len(record).to_bytes(8))


def become(file: Path, make: Callable[[Path], Any]) -> None:
    """Put something that is no regular file in the place of one."""
    file.unlink()
    make(file)


DAMAGES: dict[str, tuple[str, Callable[[Path, Path], Any]]] = {
    "a pixel": ("shard-00001-", lambda folder, other: flip(shard(folder), 100)),
    "a shard's record": ("shard-00001-", lambda folder, other: flip(shard(folder), -30)),
    "a shard is cut": ("shard-00001-", lambda folder, other: cut(shard(folder))),
    "a shard is empty": ("shard-00001-", lambda folder, other: os.truncate(shard(folder), 0)),
    "a shard has a tail": ("shard-00001-", lambda folder, other: shard(folder).open("ab").write(b"\0")),
    "a shard is removed": ("shard-00001-", lambda folder, other: shard(folder).unlink()),
    "shards are swapped": ("shard-00001-", lambda folder, other: swap(shard(folder), shard(folder, 2))),
    "a shard of another set": ("shard-00001-", lambda folder, other: shutil.copy(shard(other), shard(folder))),
    "a shard of another set under its own name": (
        "shard-00001-",
        lambda folder, other: replace_by(shard(folder), shard(other)),
    ),
    "a shard's record is nested too deep": (
        "shard-00001-",
        lambda folder, other: rewrite_record(shard(folder), b"[" * 200_000),
    ),
    "a shard's record says no edge": (
        "shard-00001-",
        lambda folder, other: rewrite_record(shard(folder), b'{"edge": 0, "outcomes": []}'),
    ),
    "a shard's record is longer than the shard": (
        "shard-00001-",
        lambda folder, other: shard(folder).open("ab").write(b"\xff" * 8),
    ),
    "a shard is a pipe": ("shard-00001-", lambda folder, other: become(shard(folder), os.mkfifo)),
    "a shard is a device": (
        "shard-00001-",
        lambda folder, other: become(shard(folder), lambda file: file.symlink_to("/dev/zero")),
    ),
    "a shard is a folder": ("shard-00001-", lambda folder, other: become(shard(folder), Path.mkdir)),
    "the index is a pipe": (INDEX, lambda folder, other: become(folder / INDEX, os.mkfifo)),
    "the manifest is a pipe": (META, lambda folder, other: become(folder / META, os.mkfifo)),
    "the manifest is nested too deep": (META, lambda folder, other: (folder / META).write_text("[" * 200_000)),
    "the last pixel": ("shard-00004-", lambda folder, other: flip(shard(folder, 4), 4 * 32 * 32 * 3 - 1)),
    "a label": (INDEX, lambda folder, other: edit_table(folder / INDEX, "label", 1)),
    "an image id": (INDEX, lambda folder, other: edit_table(folder / INDEX, "image_id", "another")),
    "a group": (INDEX, lambda folder, other: edit_table(folder / INDEX, "group", "patient 1")),
    "the index is cut": (INDEX, lambda folder, other: cut(folder / INDEX)),
    "the index is removed": (INDEX, lambda folder, other: (folder / INDEX).unlink()),
    "the index of another set": (INDEX, lambda folder, other: shutil.copy(other / INDEX, folder)),
    "the problems are removed": (PROBLEMS, lambda folder, other: (folder / PROBLEMS).unlink()),
    "the problems": (PROBLEMS, lambda folder, other: flip(folder / PROBLEMS, 8)),
    "the classes": (META, lambda folder, other: edit_meta(folder, classes=["b", "a"])),
    "the fingerprint": (META, lambda folder, other: edit_meta(folder, fingerprint="f" * 64)),
    "a shard is not listed": (META, lambda folder, other: edit_meta(folder, shards={})),
    "the digest of the manifest": (META, lambda folder, other: edit_meta(folder, digest="0" * 32)),
    "another layout": (META, lambda folder, other: edit_meta(folder, layout=2)),
    "the manifest is cut": (META, lambda folder, other: cut(folder / META)),
    "the manifest is empty": (META, lambda folder, other: os.truncate(folder / META, 0)),
    "the manifest is a list": (META, lambda folder, other: (folder / META).write_text("[1]")),
    "the manifest is no text": (META, lambda folder, other: (folder / META).write_bytes(b"\xff\xfe")),
    "the manifest is removed": (META, lambda folder, other: (folder / META).unlink()),
    "the manifest of another set": (META, lambda folder, other: shutil.copy(other / META, folder)),
    "the whole of another set": (META, lambda folder, other: shutil.copytree(other, folder, dirs_exist_ok=True)),
}
"""Of a set of 5 shards: the file that is named, and what is done to the set, with another set at hand."""

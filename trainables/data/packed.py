"""Images decoded once, into a memory-mapped Arrow file that all trials of a node share.

The packed form is a disposable cache beside the study. It is named after the listing it was made
from (names, sizes and times of all files), so a changed data set is prepared anew; the fingerprint
that goes into every key is of the content.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock
from numpy.typing import NDArray

from trainables.data.image_file import BATCH_ROWS, ImageWriter, map_images
from trainables.data.readers import DataSpec
from trainables.data.source import Item, Listing, Pixels
from trainables.errors import UserError
from trainables.identity import digest, readable

CACHE_VERSION = 1
IMAGES, META = "images.arrow", "meta.json"


@dataclass(frozen=True)
class Packed:
    """A prepared data set.

    Attributes:
        folder: where it lies.
        classes: names of the classes, sorted; ``label`` is an index into them.
        fingerprint: SHA-256 over (image_id, label, group, part, SHA-256 of the bytes) of all good images.
    """

    folder: Path
    classes: tuple[str, ...]
    fingerprint: str
    size: int

    @cached_property
    def index(self) -> pa.Table:
        """One row an image that decodes: image_id, label, group, part, sha256. Row i is image i."""
        return pq.read_table(self.folder / "index.parquet")

    @cached_property
    def problems(self) -> list[dict[str, str]]:
        """What was found wrong: image_id, what."""
        return list(pq.read_table(self.folder / "problems.parquet").to_pylist())

    @cached_property
    def image_numbers(self) -> NDArray[np.uint64]:
        """A number for each image, from its id alone: the seed of its augmentation."""
        ids = self.index.column("image_id").to_pylist()
        return np.array([int.from_bytes(hashlib.sha256(i.encode()).digest()[:8], "big") for i in ids], dtype=np.uint64)

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """Labels of all images, shape (N,)."""
        return np.asarray(self.index.column("label").to_numpy(), dtype=np.int64)

    def gather(self, rows: NDArray[np.int64]) -> Pixels:
        """Return images by row: uint8, shape (len(rows), size, size, 3)."""
        images = np.empty((len(rows), self.size, self.size, 3), dtype=np.uint8)
        for place, row in enumerate(rows.tolist()):
            images[place] = self._batches[row // BATCH_ROWS][row % BATCH_ROWS]
        return images

    @cached_property
    def _batches(self) -> list[Pixels]:
        return map_images(self.folder / IMAGES, self.size)


Progress = Callable[[str, int, int], None]
"""Told now and then: what is prepared, images done, images in all."""


def prepare(name: str, spec: DataSpec, root: Path, cache: Path, progress: Progress | None = None) -> Packed:
    """Return the packed form of a data set, making it first where the cache has none.

    Several processes may ask at once: one prepares, the others wait for it.

    Raises:
        UserError: if the data are absent, of the wrong layout, too broken, or the disk is too small.
    """
    try:
        listing = spec.listing(root)
    except OSError as error:
        raise UserError(f"cannot read the data set {name}: {error}") from error
    _refuse_repeats(name, listing)
    folder = cache / f"{readable(name)}-{_listing_digest(spec, listing)[:16]}"
    if not (folder / META).is_file():
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(folder.with_name(f"{folder.name}.lock")):
                if not (folder / META).is_file():
                    _pack(name, spec, listing, folder, progress or (lambda *_: None))
        except OSError as error:
            raise UserError(
                f"cannot prepare the data set {name} in {folder.parent}: {error}. Give --storage a place that can hold it"
            ) from error
    return load(folder)


def load(folder: Path) -> Packed:
    """Open a prepared data set. Raises FileNotFoundError where there is none."""
    meta = json.loads((folder / META).read_text(encoding="utf-8"))
    return Packed(folder, tuple(meta["classes"]), meta["fingerprint"], meta["size"])


def _pack(name: str, spec: DataSpec, listing: Listing, folder: Path, progress: Progress) -> None:
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        _write(name, spec, listing, partial, progress)
        partial.replace(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write(name: str, spec: DataSpec, listing: Listing, partial: Path, progress: Progress) -> None:
    packer = _Packer(spec.size, listing)
    good: list[tuple[Item, str]] = []
    problems: list[dict[str, str]] = []
    with ImageWriter(partial / IMAGES, len(listing.items)) as writer:
        for done, (item, sha256, outcome) in enumerate(packer.run(), 1):
            if isinstance(outcome, str):
                problems.append({"image_id": item.image_id, "what": outcome})
            else:
                good.append((item, sha256))
                writer.add(outcome, item.image_id)
            if done % BATCH_ROWS == 0 or done == len(listing.items):
                progress(name, done, len(listing.items))
        _refuse_too_broken(name, spec, len(listing.items), problems)
        writer.finish()
    size = writer.size
    classes = sorted({item.label for item in listing.items})
    table = _index(good, classes)
    problems += _duplicates(table)
    pq.write_table(table, partial / "index.parquet")
    pq.write_table(
        pa.Table.from_pylist(problems, schema=pa.schema([("image_id", pa.string()), ("what", pa.string())])),
        partial / "problems.parquet",
    )
    meta = {"name": name, "classes": classes, "size": size, "fingerprint": _fingerprint(table, classes)}
    (partial / META).write_text(json.dumps(meta, indent=1, ensure_ascii=False), encoding="utf-8")


class _Packer:
    """Decodes on all cores, in the listing's order, a bounded number ahead."""

    def __init__(self, size: int | None, listing: Listing) -> None:
        self._size = size
        self._listing = listing

    def run(self) -> Iterator[tuple[Item, str, Pixels | str]]:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for start in range(0, len(self._listing.items), BATCH_ROWS):
                yield from pool.map(self._one, range(start, min(start + BATCH_ROWS, len(self._listing.items))))

    def _one(self, i: int) -> tuple[Item, str, Pixels | str]:
        item = self._listing.items[i]
        content = self._listing.load(i)  # an error in reading is no broken image: it ends the preparation
        try:
            raw = content if isinstance(content, bytes) else content.tobytes()
            return item, hashlib.sha256(raw).hexdigest(), decode(content, self._size)
        except Exception as error:  # noqa: BLE001 - decoders raise anything on a file from outside
            return item, "", f"undecodable: {str(error) or type(error).__name__}"


def decode(content: bytes | Pixels, size: int | None) -> Pixels:
    """Decode one image to RGB uint8, shape (height, width, 3), or (size, size, 3) where a size is given.

    Raises:
        OSError, ValueError: if it does not decode in full.
    """
    from PIL import Image, ImageOps

    if isinstance(content, bytes) and not content:
        raise ValueError("the file is empty")
    image = Image.open(io.BytesIO(content)) if isinstance(content, bytes) else Image.fromarray(content)
    image = image.convert("RGB")
    if size is not None and image.size != (size, size):
        image = ImageOps.fit(image, (size, size), Image.Resampling.BILINEAR)
    return np.asarray(image)


def _refuse_repeats(name: str, listing: Listing) -> None:
    counts = Counter(item.image_id for item in listing.items)
    repeated = [image_id for image_id, count in counts.items() if count > 1]
    if repeated:
        raise UserError(f"data set {name}: {len(repeated)} images are listed more than once, the first: {repeated[0]}")


def _refuse_too_broken(name: str, spec: DataSpec, images: int, problems: Sequence[dict[str, str]]) -> None:
    if len(problems) == images or len(problems) > spec.max_undecodable * images + (2 if spec.max_undecodable else 0):
        examples = "; ".join(f"{p['image_id']} ({p['what']})" for p in problems[:3])
        raise UserError(
            f"data set {name}: {len(problems)} of {images} images do not decode, more than max_undecodable = {spec.max_undecodable:.1%}. The first: {examples}"
        )


def _index(good: Sequence[tuple[Item, str]], classes: Sequence[str]) -> pa.Table:
    number = {name: i for i, name in enumerate(classes)}
    return pa.table(
        {
            "image_id": pa.array([item.image_id for item, _ in good], pa.string()),
            "label": pa.array([number[item.label] for item, _ in good], pa.int64()),
            "group": pa.array([item.group for item, _ in good], pa.string()),
            "part": pa.array([item.part for item, _ in good], pa.string()),
            "sha256": pa.array([sha256 for _, sha256 in good], pa.string()),
        }
    )


def _duplicates(table: pa.Table) -> list[dict[str, str]]:
    first: dict[str, str] = {}
    problems = []
    for image_id, sha256 in zip(table.column("image_id").to_pylist(), table.column("sha256").to_pylist(), strict=True):
        if sha256 in first:
            problems.append({"image_id": image_id, "what": f"duplicate of {first[sha256]} (identical bytes)"})
        first.setdefault(sha256, image_id)
    return problems


def _fingerprint(table: pa.Table, classes: Sequence[str]) -> str:
    total = hashlib.sha256(json.dumps(list(classes)).encode())
    for row in sorted(zip(*(table.column(name).to_pylist() for name in table.column_names), strict=True)):
        total.update(json.dumps(row).encode())
    return total.hexdigest()


def _listing_digest(spec: DataSpec, listing: Listing) -> str:
    total = hashlib.sha256(digest([CACHE_VERSION, spec.model_dump(mode="json")]).encode())
    for item in listing.items:
        total.update(f"{item.image_id}\0{item.label}\0{item.group}\0{item.part}\0{item.stamp}\n".encode())
    return total.hexdigest()

"""Splits that were made before, kept beside the packed images: dividing 171,374 images and proving it takes seconds."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from trainables.data.packing.prepare import Packed
from trainables.data.splits.splits import Split, SplitSpec
from trainables.hashing import digest

VERSION = 1
"""Raise it when the same data and specification are divided, proven or noted in another way."""


def kept_split(kind: str, data: Packed, spec: SplitSpec, cache: Path, make: Callable[[], Split]) -> Split:
    """Return the split of a data set: the one made before of the same data and specification, or a new one.

    What is kept is believed only as it was written: the file of the table is compared with its SHA-256.

    Args:
        kind: of split: whether it has folds.
        data: what is divided.
        spec: how.
        cache: folder of kept splits; where nothing can be written there, nothing is kept.
        make: makes it.

    Raises:
        UserError: as ``make`` does.
    """
    # The folder's name stands for the listing, and so for the order of the images.
    name = digest([VERSION, kind, data.folder.name, data.fingerprint, spec.model_dump(mode="json")])[:32]
    split = _read(cache / name)
    if split is None:
        split = make()
        _write(cache / name, split)
    return split


def _read(place: Path) -> Split | None:
    try:
        known = json.loads(place.with_suffix(".json").read_text(encoding="utf-8"))
        content = place.with_suffix(".parquet").read_bytes()
        if hashlib.sha256(content).hexdigest() != known["sha256"]:
            return None
        table = pq.ParquetFile(pa.BufferReader(content)).read()
        return Split(table, str(known["digest"]), str(known["proof"]), tuple(map(str, known["notes"])))
    except (OSError, ValueError, KeyError, TypeError):  # absent or torn: it is made anew
        return None


def _write(place: Path, split: Split) -> None:
    with suppress(OSError):
        sink = pa.BufferOutputStream()
        pq.write_table(split.table, sink)
        content = sink.getvalue().to_pybytes()
        known = {**split.document(), "sha256": hashlib.sha256(content).hexdigest()}
        place.parent.mkdir(parents=True, exist_ok=True)
        for suffix, text in ((".parquet", content), (".json", json.dumps(known).encode())):
            partial = place.with_suffix(f".{os.getpid()}.partial")
            partial.write_bytes(text)
            partial.replace(place.with_suffix(suffix))

"""Splits cached beside the prepared images: dividing 171,374 images and verifying the result takes seconds."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path

from trainables.data.packing.copies import shared_images
from trainables.data.packing.prepare import Packed
from trainables.data.splits.splits import Split, SplitSpec
from trainables.hashing import digest
from trainables.store.arrow import read_parquet
from trainables.store.storage import Storage

VERSION = 2
"""Raise it when the same data and specification give another split, or its proof or notes other words."""


def cached_split(
    kind: str, data: Packed, spec: SplitSpec, cache: Path, make: Callable[[], Split], without: Collection[str] = ()
) -> Split:
    """Return the cached split of the same data and specification; make and cache it if there is none.

    Args:
        kind: of split: with folds or without.
        data: what is divided.
        spec: how.
        cache: folder of cached splits; if it is not writable, nothing is cached.
        make: makes the split; its UserError is raised as it is.
        without: ids of the images that are left out beside those that the data set leaves out itself.
    """
    # The folder's name stands for the listing, and so for the order of the images.
    what = [VERSION, kind, data.folder.name, data.fingerprint, spec.model_dump(mode="json")]
    name = digest([*what, *([sorted(without)] if without else [])])[:32]
    storage = Storage(cache)
    split = _read(storage, name)
    if split is None:
        split = make()
        with suppress(OSError):
            sha256 = storage.write_table(f"{name}.parquet", split.table)
            storage.write_json(f"{name}.json", {**split.document(), "sha256": sha256})
    return split


def _read(storage: Storage, name: str) -> Split | None:
    """Return a cached split whose table has the SHA-256 it was written with; None if it is absent or damaged."""
    try:
        known = storage.read_json(f"{name}.json")
        content = storage.read(f"{name}.parquet")
        if hashlib.sha256(content).hexdigest() != known["sha256"]:
            return None
        return Split(read_parquet(content), str(known["digest"]), str(known["proof"]), tuple(map(str, known["notes"])))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def shared_with(data: Packed, target: Packed, by_pixels: bool, cache: Path) -> tuple[str, ...]:
    """Return the ids of the images of a data set that the target has too; from the cache, where they were looked for before.

    Args:
        data: a pre-training set.
        target: the target.
        by_pixels: see ``copies.shared_images``.
        cache: folder of such lists; if it is not writable, nothing is cached.
    """
    name = digest([1, data.folder.name, data.fingerprint, target.folder.name, target.fingerprint, by_pixels])[:32]
    storage = Storage(cache)
    with suppress(OSError, ValueError, KeyError, TypeError):
        return tuple(map(str, storage.read_json(f"{name}.json")["shared"]))
    shared = shared_images(data.index, target.index, by_pixels)
    with suppress(OSError):
        storage.write_json(f"{name}.json", {"shared": shared})
    return tuple(shared)

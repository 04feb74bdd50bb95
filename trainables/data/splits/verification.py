"""Verification of a split from its table alone, independent of the code that made it."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from trainables.arrays import Ints
from trainables.store.arrow import codes, equal

IDENTICAL = "identical-"
"""Prefix of the group of images with identical bytes that have no group of their own."""
COPIES = "copies-"
"""Prefix of the group of images that are copies in another way (of pixels, or nearly) and have no group of their own."""


def verify_split(table: pa.Table) -> str:
    """Verify a split, and return a sentence that states what holds: groups shared (none), folds, images tested once.

    Args:
        table: fold, image_id, label, group, split: one row per fold and image.

    Raises:
        ValueError: if an image is missing or repeated in a fold, a group lies in two parts of a fold, or (with
            several folds) an image is not tested exactly once.
    """
    fold, image, group, part = (codes(table.column(name)) for name in ("fold", "image_id", "group", "split"))
    folds, images, groups = int(fold.max()) + 1, int(image.max()) + 1, int(group.max(initial=-1)) + 1
    faults = []
    if (np.bincount(fold * images + image, minlength=folds * images) != 1).any():
        faults.append("an image is missing or repeated in a fold")
    used = ~equal(table.column("split"), "test") | (folds > 1)  # pre-training does not use test images
    grouped = (group >= 0) & used
    shared = _shared(fold[grouped], group[grouped], part[grouped], groups)
    if shared:
        faults.append(f"{shared} of {groups} groups lie in two parts of a fold")
    tested = np.bincount(image[equal(table.column("split"), "test")], minlength=images)
    if folds > 1 and (tested != 1).any():
        faults.append(f"{int((tested != 1).sum())} images are not tested exactly once")
    if faults:
        raise ValueError("the split is not valid: " + "; ".join(faults))
    return _sentence(table, folds, images, groups)


def _sentence(table: pa.Table, folds: int, images: int, groups: int) -> str:
    given = pc.unique(table.column("group").combine_chunks()).drop_null()
    identical, copies = (pc.sum(pc.starts_with(given, prefix)).as_py() or 0 for prefix in (IDENTICAL, COPIES))
    named = groups - identical - copies
    what = [f"{named:,} groups"] if named else []
    what += [f"{identical:,} sets of identical images"] if identical else []
    what += [f"{copies:,} sets of copies"] if copies else []
    parts = "train, val and test" if folds > 1 else "train and val"
    shared = " and ".join(f"0 of {one}" for one in what) or f"no groups are given: 0 of {images:,} images"
    ends = f", {folds} folds; every image tested once" if folds > 1 else ""
    return f"{shared} shared between {parts}{ends}"


def _shared(fold: Ints, group: Ints, part: Ints, groups: int) -> int:
    """Count the groups that lie in two parts of any one fold."""
    parts = int(part.max(initial=0)) + 1
    sides = np.unique((fold * groups + group) * parts + part) // parts
    places, count = np.unique(sides, return_counts=True)
    return len(np.unique(places[count > 1] % max(groups, 1)))

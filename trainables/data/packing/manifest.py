"""The manifest of a prepared data set, ``meta.json``: what belongs to the set, with a digest of each file and of itself."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from xxhash import xxh3_128

from trainables.data.packing.shards import open_regular
from trainables.errors import UserError
from trainables.hashing import canonical

META = "meta.json"
LAYOUT = 4
"""Of a prepared data set on disk. It is in the name of its folder, so sets of another layout are left alone."""


class DamagedDataError(UserError):
    """A prepared data set is not what was written. It can be prepared again from its source.

    Attributes:
        found: what is wrong, a sentence for each file.
    """

    def __init__(self, folder: Path, found: Sequence[str]) -> None:
        """Name the folder of the set and what is wrong in it."""
        self.found = tuple(found)
        more = f", and {len(found) - 3} files more" if len(found) > 3 else ""
        super().__init__(
            f"the prepared data set {folder} is damaged: {'; '.join(found[:3])}{more}. "
            "Run the study again, or python -m trainables.data prepare: it is then prepared again from its source"
        )


def digest_of_bytes(content: bytes | pa.Buffer) -> str:
    """Return the XXH3 (128 bits, hex) of the content of a file."""
    return xxh3_128(content).hexdigest()


def write_manifest(folder: Path, content: dict[str, Any]) -> None:
    """Write ``meta.json``, last of all files of a set.

    Args:
        folder: of the set.
        content: plain values; ``layout`` and ``digest`` are added.
    """
    whole = {"layout": LAYOUT, **content}
    text = json.dumps(whole | {"digest": _digest(whole)}, indent=1, ensure_ascii=False)
    (folder / META).write_text(text, encoding="utf-8")


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the content of ``meta.json``, verified.

    Raises:
        FileNotFoundError: if there is no such folder.
        DamagedDataError: if the file is missing, is not what was written, or belongs to another folder.
    """
    try:
        with open_regular(folder / META) as stream:
            text = stream.read()
    except OSError as error:
        if not folder.is_dir():
            raise FileNotFoundError(f"no prepared data set {folder}: a run of the study prepares it") from error
        what = "is missing" if isinstance(error, FileNotFoundError) else f"cannot be read: {error.strerror}"
        raise DamagedDataError(folder, [f"{META} {what}"]) from error
    try:
        content = dict(json.loads(text))
        expected, found = content.pop("digest", None), _digest(content)
    except (ValueError, TypeError, RecursionError) as error:
        raise DamagedDataError(folder, [f"{META} cannot be read: {error}"]) from error
    if content.get("layout") != LAYOUT:
        raise DamagedDataError(folder, [f"{META} is of layout {content.get('layout')}, expected {LAYOUT}"])
    if expected != found:
        raise DamagedDataError(folder, [f"{META} has the digest {found}, expected {expected}"])
    if not folder.name.endswith(content["source"][:16]):
        raise DamagedDataError(folder, [f"{META} is of another set, {content['name']} {content['source'][:16]}"])
    return content


def _digest(content: dict[str, Any]) -> str:
    return digest_of_bytes(canonical(content).encode())

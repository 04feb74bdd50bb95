"""What is read from a folder that somebody else may have made: plain names, regular files, no links, bounded sizes.

``Storage`` opens every file below a study through here, so no command needs a check of its own.
"""

from __future__ import annotations

import json
import os
from typing import IO, Any

import yaml

from trainables.errors import UnsafeFileError

MOST_JSON = 32 << 20
"""Largest JSON file that is read, bytes. Plans of 10,000 stages have about 6 MB; parsed, JSON can take forty
times its size."""
MOST_YAML, DEEPEST_YAML = 1 << 20, 50
"""Largest YAML file that is read, bytes, and its deepest nesting. A resolved grid has some 10 kB."""
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
MOST_TABLE = 1 << 30
"""Largest table that is read, bytes in memory."""
MOST_FILE = 16 << 30
"""Largest file of weights that is read, bytes."""
LONGEST_NAME = 255
"""Bytes of a file name that file systems take."""


def plain_name(name: str) -> str:
    """Return a name of a file that a study's own JSON, YAML or Parquet gives, if it is one.

    Args:
        name: without folders.

    Raises:
        ValueError: if it names another folder, is empty or too long, or holds characters that no file of a study has.
    """
    is_plain = name not in ("", ".", "..") and name.isprintable() and not any(letter in name for letter in "/\\:")
    if not is_plain or len(os.fsencode(name)) > LONGEST_NAME:
        raise ValueError(
            f"{name[:80]!r} is no plain name of a file: no separator, no `..`, at most {LONGEST_NAME} bytes"
        )
    return name


def refuse_way_out(name: str) -> None:
    """Refuse a path below a folder that leads out of it, or that no system takes.

    Args:
        name: relative, with ``/``.

    Raises:
        UnsafeFileError: if a part of it is empty, ``.`` or ``..``, or it holds a NUL.
    """
    if "\0" in name or not {"", ".", ".."}.isdisjoint(name.split("/")):
        raise UnsafeFileError(f"{name[:200]!r} is no path below a study: nothing outside of it is read or written")


def read_bounded(stream: IO[bytes], most: int, what: str) -> bytes:
    """Return all bytes of a stream.

    Args:
        stream: open for reading.
        most: bytes that are read.
        what: its name, for the message.

    Raises:
        UnsafeFileError: if it has more.
    """
    chunks, left = [], most
    while chunk := stream.read(min(left + 1, 1 << 24)):
        left -= len(chunk)
        if left < 0:
            raise UnsafeFileError(f"{what} is larger than {most / 1e6:,.0f} MB, the most that is read of such a file")
        chunks.append(chunk)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def load_json(content: bytes) -> Any:
    """Return the value of a JSON text.

    Raises:
        ValueError: if it is none, is nested too deeply, or holds half a character. NaN is read: losses can be NaN.
    """
    try:
        value = json.loads(content)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if b"\\u" in content:
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise ValueError("it holds half a character (a lone surrogate)") from error
    return value


def load_yaml(content: bytes) -> Any:
    """Return the value of a YAML text of plain values.

    Raises:
        ValueError: if it is none, is nested too deeply, or refers to parts of itself (a few lines can stand for gigabytes).
    """
    try:
        _refuse_expensive(content)
        return yaml.load(content, Loader=_LOADER)  # noqa: S506 - a safe loader
    except yaml.YAMLError as error:
        raise ValueError(f"it is no YAML: {' '.join(str(error).split())[:300]}") from error
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    except (TypeError, AttributeError, KeyError, IndexError, OverflowError) as error:
        raise ValueError(f"it holds a value that cannot be read: {error}") from error


def _refuse_expensive(content: bytes) -> None:
    """Refuse aliases, of which a few lines can stand for gigabytes, and deep nesting, whose reading takes quadratic time."""
    if len(content) > MOST_YAML:
        raise ValueError(f"it is larger than {MOST_YAML / 1e6:,.0f} MB, the most that is read of a YAML file")
    depth = 0
    for event in yaml.parse(content, Loader=_LOADER):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if isinstance(event, yaml.AliasEvent):
            raise ValueError("it has aliases (*NAME), which a file that this project wrote has not")
        if depth > DEEPEST_YAML:
            raise ValueError(f"it is nested more than {DEEPEST_YAML} deep")

"""Hashes, and the seeds derived from them: the identity of stages, files and random draws."""

from __future__ import annotations

import hashlib
import json
import math
import re
from pathlib import Path
from typing import Any

from trainables.errors import UserError

KEY_CHARS = 16
"""Characters of a stage's key in the name of its folder and in messages."""


def short_key(key: str | None) -> str:
    """Return the first ``KEY_CHARS`` characters of a key."""
    return str(key)[:KEY_CHARS]


def canonical(value: Any) -> str:
    """Return the canonical JSON of a plain value: sorted keys, no white space, ASCII.

    Raises:
        TypeError: if the value is not plain (None, bool, int, finite float, str, list, tuple, or dict with str
            keys): it could not be hashed faithfully.
    """
    _refuse_unfaithful(value, "value")
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def digest(value: Any) -> str:
    """Return the SHA-256 (hex) of the canonical JSON of a plain value."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def file_sha256(file: Path) -> str:
    """Return the SHA-256 (hex) of a file's content."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def derive_seed(*parts: Any) -> int:
    """Return a seed in [0, 2**63) that depends on the parts, plain values, and on nothing else."""
    return int(digest(list(parts))[:16], 16) >> 1


def tidy_rate(rate: float) -> float:
    """Round a product of learning rates to 12 significant digits, so that 0.1 * 3 and 0.3 give the same key.

    Raises:
        UserError: if it is not a positive number.
    """
    if not math.isfinite(rate) or rate <= 0:
        raise UserError(f"a learning rate must be a positive number, found {rate}")
    return float(f"{rate:.12g}")


def readable(name: str) -> str:
    """Replace the characters of a name that are unsafe in file names or object stores by ``_``."""
    return re.sub(r"[^A-Za-z0-9._+-]+", "_", name)


_ATOMS = frozenset({type(None), bool, int, str})
"""Types of values that are always plain: most of a stage's, and a plan has thousands of stages."""


def _refuse_unfaithful(value: Any, where: str) -> None:
    if type(value) in _ATOMS or isinstance(value, int | str):
        return
    if isinstance(value, float):
        if not math.isfinite(value):
            raise TypeError(f"{where} is {value}: it has no faithful hash")
    elif isinstance(value, list | tuple):
        for i, item in enumerate(value):
            _refuse_unfaithful(item, f"{where}[{i}]")
    elif isinstance(value, dict):
        for name, item in value.items():
            if not isinstance(name, str):
                raise TypeError(f"{where} has the key {name!r}, which is no string: it has no faithful hash")
            if type(item) not in _ATOMS and not (type(item) is float and math.isfinite(item)):
                _refuse_unfaithful(item, f"{where}.{name}")
    else:
        raise TypeError(f"{where} is of type {type(value).__name__}: it has no faithful hash")

"""Hashes and seeds: the identity of things, derived from what they are and never drawn."""

from __future__ import annotations

import hashlib
import json
import math
import re
from typing import Any

from trainables.errors import UserError

KEY_CHARS = 16
"""So many characters of a stage's key are in the name of its folder, and shown to people."""


def short_key(key: str | None) -> str:
    """Return the beginning of a key, as folder names and messages show it."""
    return str(key)[:KEY_CHARS]


def canonical(value: Any) -> str:
    """Return the one JSON text of a plain value: sorted keys, no white space.

    Raises:
        TypeError: for anything that is not a plain value (None, bool, int, finite float, str,
            list, tuple, or dict with str keys): such a value has no faithful hash.
    """
    _refuse_unfaithful(value, "value")
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def digest(value: Any) -> str:
    """Return the SHA-256 (hex) of the canonical JSON of a plain value."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def derive_seed(*parts: Any) -> int:
    """Return a seed in [0, 2**63) that depends on all parts and on nothing else."""
    return int(digest(list(parts))[:16], 16) >> 1


def tidy_rate(rate: float) -> float:
    """Round a product of rates to 12 significant digits, so that 0.1 * 3 and 0.3 share one key."""
    if not math.isfinite(rate) or rate <= 0:
        raise UserError(f"a learning rate must be a positive number, found {rate}")
    return float(f"{rate:.12g}")


def readable(name: str) -> str:
    """Keep of a name what is safe in a file name on every system and object store."""
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

"""Rules of a grid (``exclude`` and ``defaults``): whether one matches, and how it reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def matches(match: Mapping[str, Any], labels: Mapping[str, Any]) -> bool:
    """Return whether a rule matches a cell or stage.

    Args:
        match: label -> the value it must have, or a list of values of which it must have one.
        labels: of the cell or stage.
    """
    for name, wanted in match.items():  # a plain loop: it runs hundreds of thousands of times
        if name not in labels:
            return False
        found = labels[name]
        if (found not in wanted) if isinstance(wanted, list) else (found != wanted):
            return False
    return True


def describe(match: Mapping[str, Any]) -> str:
    """Return what a rule matches on, as messages and tables show it."""
    parts = (f"{name}: {' or '.join(map(str, v)) if isinstance(v, list) else v}" for name, v in match.items())
    return ", ".join(parts) or "everything"

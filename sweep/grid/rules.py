"""Rules of a grid: what they match, and how that reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def matches(match: Mapping[str, Any], labels: Mapping[str, Any]) -> bool:
    """Say whether all that a rule asks for is so; of several values in a list one must be."""
    for name, wanted in match.items():  # a plain loop: it is asked hundreds of thousands of times
        if name not in labels:
            return False
        found = labels[name]
        if (found not in wanted) if isinstance(wanted, list) else (found != wanted):
            return False
    return True


def said(match: Mapping[str, Any]) -> str:
    """Return a match as a person reads it."""
    one = (f"{name}: {' or '.join(map(str, v)) if isinstance(v, list) else v}" for name, v in match.items())
    return ", ".join(one) or "everything"

"""The one place of this package that writes to the terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable


def show(text: str) -> None:
    """Write a line or more to standard output."""
    sys.stdout.write(f"{text}\n")


def complain(faults: Iterable[str]) -> None:
    """Write each fault to standard error."""
    for fault in faults:
        sys.stderr.write(f"error: {fault}\n")

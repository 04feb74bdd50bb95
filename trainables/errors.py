"""Exceptions: what a user can mend (every fault found, not the first), and what nobody is to blame for."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Bad input. Shown without a traceback; the command exits with status 2.

    Attributes:
        faults: one sentence or more each: what was looked for, where, what was found, what to do.
    """

    def __init__(self, faults: str | Iterable[str]) -> None:
        """Take one fault or several."""
        self.faults: tuple[str, ...] = (faults,) if isinstance(faults, str) else tuple(faults)
        super().__init__("\n".join(self.faults))


class StageError(Exception):
    """The stage cannot go on: what happened, where, and what to try."""


class LostError(Exception):
    """A worker's process or node is gone: not the stage's fault. It may go on from its checkpoint elsewhere."""


class StorageError(OSError):
    """A storage that cannot be used now: it refuses, is gone, or does not answer. Not the fault of what used it."""


class DamagedError(Exception):
    """An upstream stage's file is not what that stage wrote: it must be done again.

    Attributes:
        key: of the upstream stage.
    """

    def __init__(self, key: str, message: str) -> None:
        """Name the stage and what is wrong."""
        super().__init__(message)
        self.key = key


def suggestion(name: str, valid: Iterable[str], most: int = 3) -> str:
    """Return ``"; did you mean a, b?"`` for the valid names nearest to ``name``, or ``""``."""
    near = difflib.get_close_matches(name, list(valid), n=most, cutoff=0.5)
    return f"; did you mean {', '.join(near)}?" if near else ""

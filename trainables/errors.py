"""Exceptions shared by all rooms: bad input, lost workers, failing storage, corrupt files."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Bad input, shown without a traceback; the command exits with status 2.

    Attributes:
        faults: every fault found, each a message: what was looked for, where, what was found, what to do.
    """

    def __init__(self, faults: str | Iterable[str]) -> None:
        """Make an error of one fault or several."""
        self.faults: tuple[str, ...] = (faults,) if isinstance(faults, str) else tuple(faults)
        super().__init__("\n".join(self.faults))


class StageError(Exception):
    """The stage cannot go on: what happened, where, and what to try."""


class LostError(Exception):
    """A worker's process or node is lost. Not an error of the stage: it may resume from its checkpoint elsewhere."""


class StorageError(OSError):
    """A storage denies access, is gone, or does not answer. Not an error of the stage that used it."""


class UnsafeFileError(OSError):
    """A file of a study is not one that is read: a link, a FIFO, a path out of the study, or larger than the bound."""


class DamagedError(Exception):
    """A file of an upstream stage is corrupt: its digest is not the one in the result. That stage must run again.

    Attributes:
        key: of the upstream stage.
    """

    def __init__(self, key: str, message: str) -> None:
        """Make an error about an upstream stage.

        Args:
            key: of the stage.
            message: which file, and what is wrong with it.
        """
        super().__init__(message)
        self.key = key


def suggestion(name: str, valid: Iterable[str], most: int = 3) -> str:
    """Return ``"; did you mean a, b?"`` for the valid names most similar to a name, or ``""``.

    Args:
        name: that is not valid.
        valid: the valid names.
        most: names suggested at most.
    """
    near = difflib.get_close_matches(name, list(valid), n=most, cutoff=0.5)
    return f"; did you mean {', '.join(near)}?" if near else ""

"""An entry of the report: where a table or figure is shown, and what makes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

Data = TypeVar("Data")
Made_co = TypeVar("Made_co", covariant=True)
LAST = 1000
"""Place of an entry that does not choose one: after the built-ins of its section."""


@dataclass(frozen=True)
class ReportEntry(Generic[Data, Made_co]):
    """A table or figure of the report.

    Attributes:
        make: the function.
        section: name of a section of the page.
        place: entries of a section are ordered by place, then by name.
    """

    make: Callable[[Data], Made_co]
    section: str
    place: int = LAST


def report_entry(section: str, place: int = LAST) -> Callable[[Callable[[Data], Made_co]], ReportEntry[Data, Made_co]]:
    """Return a decorator that makes a function an entry of the report.

    Args:
        section: name of a section of the page.
        place: entries of a section are ordered by place, then by name.
    """

    def entry(make: Callable[[Data], Made_co]) -> ReportEntry[Data, Made_co]:
        return ReportEntry(make, section, place)

    return entry

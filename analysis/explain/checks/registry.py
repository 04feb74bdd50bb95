"""The checks of heat maps.

A new one is a function in a file of this package, with two decorators::

    @CHECKS.register("my check")
    @explanation_check({"my value": "how to read it"}, place=40)
    def my_check(given: CheckInput) -> Values: ...

Another distribution uses ``explanation_check`` alone and publishes the result in the entry-point group
``scenario_sweep.explanation_checks``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from analysis.explain.checks.check_input import CheckInput
from analysis.explain.records.records import Measurement
from analysis.registry.report_entry import LAST
from trainables.registry import Registry

Values = Iterator[tuple[int, Measurement]]
"""Index of an image, and a value for one of its maps."""


@dataclass(frozen=True)
class ExplanationCheck:
    """A check of heat maps.

    Attributes:
        measure: computes its values.
        meanings: name of each kind of value -> how to read it, in the order of the table.
        place: checks are ordered by place.
    """

    measure: Callable[[CheckInput], Values]
    meanings: Mapping[str, str]
    place: int = LAST


CHECKS: Registry[ExplanationCheck] = Registry("explanation check", "explanation_checks", "analysis.explain.checks")


def explanation_check(
    meanings: Mapping[str, str], place: int = LAST
) -> Callable[[Callable[[CheckInput], Values]], ExplanationCheck]:
    """Return a decorator that makes a function a check.

    Args:
        meanings: name of each kind of value -> how to read it, in the order of the table.
        place: checks are ordered by place.
    """
    return lambda measure: ExplanationCheck(measure, meanings, place)


def all_checks() -> list[ExplanationCheck]:
    """Return all checks in their order."""
    return sorted((CHECKS[name] for name in CHECKS.names()), key=lambda check: check.place)

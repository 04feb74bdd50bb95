"""Start rates as a grid gives them: a number, a list, a table, or a range test that finds them; times factors."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sweep.grid.schema import RangeRates, Rates, RateTable
from trainables.errors import UserError
from trainables.frozen import Frozen
from trainables.hashing import tidy_rate
from trainables.specs import Ramp


@dataclass(frozen=True)
class RangeTestRate:
    """A start rate that a range test is to find.

    Attributes:
        ramp: the test.
        times: factor on what it finds.
        share: whether one test serves all folds.
    """

    ramp: Ramp
    times: float
    share: bool


Rate = float | RangeTestRate


class _RatesHolder(Frozen):
    rates: Rates


def parse_rates(value: Any) -> Rates:
    """Read a number, a list of numbers, a table or a range test. Raises pydantic's ValidationError."""
    return _RatesHolder(rates=value).rates


def rates_of(rates: Rates, scenario: str, architecture: str) -> tuple[Rate, ...]:
    """Return the rates for an architecture in a scenario, ascending.

    Raises:
        UserError: if a table has none for them, or a rate or factor is not positive.
        pydantic.ValidationError: if an override makes no range test.
    """
    if isinstance(rates, RangeRates):
        return _sought(rates, rates.overrides.get(scenario, {}).get(architecture, {}))
    if isinstance(rates, RateTable):
        row = rates.table.get(scenario, {})
        if architecture not in row:
            raise UserError(
                f"the table of learning rates has none for scenario {scenario}, architecture {architecture}"
            )
        return _tidy(row[architecture] * factor for factor in rates.times)
    return _tidy(rates if isinstance(rates, tuple) else (rates,))


def _tidy(values: Iterable[float]) -> tuple[float, ...]:
    return tuple(sorted({tidy_rate(value) for value in values}))


def _sought(rates: RangeRates, override: float | dict[str, Any]) -> tuple[Rate, ...]:
    if not isinstance(override, dict):
        return _tidy(override * factor for factor in rates.times)
    test = type(rates.range_test).model_validate(rates.range_test.model_dump() | override)
    ramp = Ramp.model_validate(test.model_dump(exclude={"share"}))
    return tuple(RangeTestRate(ramp, times, test.share) for times in _tidy(rates.times))

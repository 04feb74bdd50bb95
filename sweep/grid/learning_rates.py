"""Start rates as a grid gives them: a number, a list, a table, or a range test that finds them; times factors."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter

from sweep.grid.schema import RangeRates, Rates, RateTable
from trainables.errors import UserError
from trainables.hashing import tidy_rate
from trainables.specs import Ramp

_RATES: TypeAdapter[Rates] = TypeAdapter(Rates)


@dataclass(frozen=True)
class RangeTestRate:
    """A start rate that a range test is to find.

    Attributes:
        ramp: the range test.
        times: factor on the rate that it finds.
        share: whether one test serves all folds.
    """

    ramp: Ramp
    times: float
    share: bool


Rate = float | RangeTestRate


def parse_rates(value: Any) -> Rates:
    """Validate a number, a list of numbers, a table or a range test.

    Raises:
        pydantic.ValidationError: if it is none of these.
    """
    return _RATES.validate_python(value)


def rates_of(rates: Rates, scenario: str, architecture: str) -> tuple[Rate, ...]:
    """Return the start rates of an architecture in a scenario, ascending.

    Args:
        rates: of the whole grid.
        scenario: its name in the grid.
        architecture: its name in the grid.

    Raises:
        UserError: if a table has none for them, or a rate or factor is not positive.
        pydantic.ValidationError: if an override is not a range test.
    """
    if isinstance(rates, RangeRates):
        return _range_test_rates(rates, rates.overrides.get(scenario, {}).get(architecture, {}))
    if isinstance(rates, RateTable):
        row = rates.table.get(scenario, {})
        if architecture not in row:
            raise UserError(
                f"the table of learning rates has none for scenario {scenario}, architecture {architecture}"
            )
        return _ascending(row[architecture] * factor for factor in rates.times)
    return _ascending(rates if isinstance(rates, tuple) else (rates,))


def _ascending(values: Iterable[float]) -> tuple[float, ...]:
    return tuple(sorted({tidy_rate(value) for value in values}))


def _range_test_rates(rates: RangeRates, override: float | dict[str, Any]) -> tuple[Rate, ...]:
    if not isinstance(override, dict):
        return _ascending(override * factor for factor in rates.times)
    test = type(rates.range_test).model_validate(rates.range_test.model_dump() | override)
    ramp = Ramp.model_validate(test.model_dump(exclude={"share"}))
    return tuple(RangeTestRate(ramp, times, test.share) for times in _ascending(rates.times))

"""A slice of the fuzzer of grids; ``python -m tests.fuzz.grids`` runs as many cases as wanted."""

from __future__ import annotations

from tests.fuzz.bounded import fuzz
from tests.fuzz.grids import CASES, import_first


def test_hostile_grids_are_refused_with_a_sentence() -> None:
    import_first()
    told: list[str] = []
    assert fuzz(CASES, seed=1, count=60, tell=told.append) == 0, "\n".join(told)

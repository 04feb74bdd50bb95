"""A slice of the fuzzer of data sets; ``python -m tests.fuzz.data`` runs as many cases as wanted."""

import pytest

from tests.fuzz.bounded import fuzz
from tests.fuzz.data import CASES


def test_hostile_data_sets_are_refused_with_a_sentence_and_good_ones_read_as_they_are(
    capfd: pytest.CaptureFixture[str],
) -> None:
    told: list[str] = []
    assert fuzz(CASES, seed=1, count=30, tell=told.append) == 0, "\n".join(told)

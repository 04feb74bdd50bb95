"""A slice of the fuzzer of studies and bundles; ``python -m tests.fuzz.studies`` runs as many cases as wanted."""

import shutil

import pytest

from tests.fuzz.bounded import fuzz
from tests.fuzz.studies import CASES, made


def test_studies_and_bundles_of_strangers_harm_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    told: list[str] = []
    folder = made()
    try:
        assert fuzz(CASES, seed=1, count=21, tell=told.append) == 0, "\n".join(told)
    finally:
        shutil.rmtree(folder)

"""What the fuzzers count as a fault."""

import random
import sys
import time
from pathlib import Path

import pytest

from tests.fuzz import bounded
from tests.fuzz.bounded import Case, fuzz, run_case


def _traceback(_: random.Random, __: Path) -> int:
    raise KeyError("absent")


def _wrong_status(_: random.Random, __: Path) -> int:
    return 1


def _silent(_: random.Random, __: Path) -> int:
    return 2


def _large(_: random.Random, __: Path) -> int:
    return len(bytearray(bounded.MOST_BYTES + (64 << 20))) * 0


def _hanging(_: random.Random, __: Path) -> int:
    time.sleep(60)
    return 0


@pytest.mark.parametrize(
    ("case", "fault"),
    [(_traceback, "KeyError: 'absent'"), (_wrong_status, "status 1"), (_silent, "without a sentence"), (_large, "GB"), (_hanging, "hangs")],
)  # fmt: skip
def test_a_fault_is_found(case: Case, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded, "KILLED_AFTER", 1.0)
    monkeypatch.setattr(bounded, "MOST_BYTES", 256 << 20 if case is _large else 2 << 30)
    assert fault in run_case(case, "0").fault


def test_good_cases_are_counted_and_a_seed_gives_the_same_case() -> None:
    def one(rng: random.Random, place: Path) -> int:
        sys.stdout.write(f"{rng.random()} {len(list(place.iterdir()))}")
        return 0

    assert run_case(one, "7").said == run_case(one, "7").said != run_case(one, "8").said
    told: list[str] = []
    assert fuzz({"one": one}, 0, 3, told.append) == 0
    assert told[0].startswith("3 cases of 1 kinds, seed 0: 3 accepted, 0 refused, 0 faults")

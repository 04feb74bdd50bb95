"""Whole studies under fire: about twenty faults at random moments. ``faults.py`` runs as many as one likes by hand."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from faults import Study, disturb, undisturbed

pytestmark = [pytest.mark.slow, pytest.mark.timeout(480)]


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    return undisturbed(tmp_path_factory.mktemp("undisturbed"))


@pytest.mark.parametrize(
    ("seed", "faults", "names"),
    [
        (1, 6, ["trial killed", "file spoilt"]),
        (2, 3, ["driver killed", "interrupted"]),
        (3, 5, ["driver killed", "trial killed", "raylet killed", "interrupted", "file spoilt"]),
    ],
    ids=["trials and files", "drivers", "all kinds"],
)
def test_nothing_is_lost_or_done_twice_and_the_results_are_those_of_an_undisturbed_run(
    tmp_path: Path, expected: dict[str, object], seed: int, faults: int, names: list[str]
) -> None:
    study = Study(tmp_path)
    done = disturb(study, random.Random(seed), faults, names, patience=420)
    assert done.total() > 0
    assert study.outcome() == expected

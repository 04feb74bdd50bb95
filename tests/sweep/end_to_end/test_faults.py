"""Whole studies under fire: about twenty faults at random moments. ``faults.py`` runs as many as one likes by hand."""

from __future__ import annotations

import random
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.sweep.faults import Study, disturb, to_the_end, undisturbed
from tests.sweep.support.processes import TRIAL, family

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


def test_a_run_whose_node_of_ray_is_killed_ends_with_a_line_and_the_next_call_goes_on(
    tmp_path: Path, expected: dict[str, object]
) -> None:
    """Ray itself would wait for ever for a node that comes."""
    study = Study(tmp_path)
    driver = study.start()
    until = time.monotonic() + 180
    while not family(driver.pid, *TRIAL):
        assert time.monotonic() < until, study.said
        if driver.poll() == 4:  # Ray did not start: the machine is too busy
            driver = study.start()
        time.sleep(0.1)
    workers = family(driver.pid, "ray::")  # with the node: they could do all before Ray says that it is gone
    for process in [*family(driver.pid, "raylet/raylet"), *workers]:
        with suppress(psutil.NoSuchProcess):  # it noticed by itself
            process.kill()
    assert driver.wait(timeout=150) == 4, study.said
    last = study.said.splitlines()[-1]
    assert "Ray's node on this machine is gone" in last
    assert last.endswith("this goes on: python -m sweep.run --grid tiny.yaml")
    assert "Traceback" not in study.said
    to_the_end(study)
    assert study.outcome() == expected

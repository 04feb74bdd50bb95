"""Tests of the options of entries, above all of those that other distributions publish."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.trainables.support.plugins import publish
from trainables import entry_options, registry
from trainables.entry_options import checked_options, refuse_other_version
from trainables.errors import UserError

ENTRIES = """
import {imports}
from pathlib import Path
from trainables.training.lr_schedule import LrSchedule

{body}

class Entry(LrSchedule):
    slope: float = 0.5
    knots: tuple[int, ...] = (1, 2)
    {option}

    def factor(self, recipe, position):
        return 1.0

class Unfinished(LrSchedule):
    pass
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    """Install a distribution with two schedules, whose module does something when it is imported."""

    def install(body: str = "", imports: str = "os, subprocess, sys, time", option: str = "") -> None:
        (tmp_path / "their_schedules.py").write_text(ENTRIES.format(body=body, imports=imports, option=option))
        points = {"theirs": "their_schedules:Entry", "unfinished": "their_schedules:Unfinished"}
        publish(tmp_path, "their-schedules", "3.1", {"scenario_sweep.lr_schedules": points})
        monkeypatch.syspath_prepend(str(tmp_path))
        registry._published.cache_clear()
        entry_options._asked_of_child.cache_clear()

    monkeypatch.delitem(sys.modules, "their_schedules", raising=False)
    yield install
    assert "their_schedules" not in sys.modules, "it was imported here, not in a child"
    registry._published.cache_clear()
    entry_options._asked_of_child.cache_clear()


Install = Callable[..., None]
KIND = "learning-rate schedule"


def refused(name: str = "theirs", **options: object) -> str:
    with pytest.raises(UserError) as caught:
        checked_options(KIND, name, options)
    return "\n".join(caught.value.faults)


def test_own_options_are_completed_in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entry_options, "_asked_of_child", None)
    assert checked_options("metric", "top_k_accuracy", {}) == {"k": 2}
    assert checked_options("optimizer", "sgd", {}) == {}
    with pytest.raises(UserError, match="the optimizer sgd has no option nesterov; it has none"):
        checked_options("optimizer", "sgd", {"nesterov": True})
    with pytest.raises(UserError, match="option k of the metric top_k_accuracy: input should be greater.*, found 0"):
        checked_options("metric", "top_k_accuracy", {"k": 0})
    with pytest.raises(UserError, match="no metric top_k"):
        checked_options("metric", "top_k", {})


def test_options_of_others_are_completed_with_their_defaults(installed: Install) -> None:
    installed("print('loading')\nsys.stdout.write('{}')")
    assert checked_options(KIND, "theirs", {"slope": 2}) == {"slope": 2.0, "knots": [1, 2]}


def test_all_faults_are_told_with_who_publishes_the_entry(installed: Install) -> None:
    installed()
    faults = refused(slope="steep", knot=[1]).splitlines()
    assert faults == [
        "option slope of the learning-rate schedule theirs: input should be a valid number, unable to parse string as a "
        "number, found 'steep' (of their-schedules 3.1)",
        "the learning-rate schedule theirs has no option knot; there are slope, knots; did you mean knots? "
        "(of their-schedules 3.1)",
    ]


def test_an_option_without_a_faithful_hash_is_refused(installed: Install) -> None:
    installed()
    assert "options of the learning-rate schedule theirs: value.slope is nan" in refused(slope=float("nan"))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("raise RuntimeError('no licence')", "cannot be imported from their_schedules:Entry: RuntimeError: no licence"),
        ("import there_is_no_such_module", "ModuleNotFoundError: No module named 'there_is_no_such_module'"),
        (
            "sys.stderr.write('first\\nlicence server is gone\\n'); sys.stderr.flush(); os._exit(3)",
            "ended its process before it had checked its options: licence server is gone",
        ),
        ("sys.exit(7)", "cannot be imported from their_schedules:Entry: SystemExit: 7"),
        ("os._exit(5)", "ended its process before it had checked its options: it said nothing, its exit status is 5"),
    ],
)
def test_an_entry_that_fails_is_named_and_does_no_harm(installed: Install, body: str, message: str) -> None:
    installed(body)
    assert message in refused()


def test_an_entry_without_its_method_is_refused(installed: Install) -> None:
    installed()
    assert "Can't instantiate abstract class Unfinished" in refused("unfinished")


def test_a_check_ends_in_bounded_time_with_all_that_it_started(
    installed: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "pids"
    installed(
        f"other = subprocess.Popen(['sleep', '600'])\nPath({str(file)!r}).write_text(f'{{os.getpid()}} {{other.pid}}')\n"
        "time.sleep(600)"
    )
    monkeypatch.setattr(entry_options, "CHECK_SECONDS", 15.0)
    started = time.monotonic()
    assert "did not check its options within 15 s: mend or uninstall it" in refused()
    assert time.monotonic() - started < 100
    until = time.monotonic() + 10  # a killed process takes a moment to go
    for pid in map(int, file.read_text().split()):
        while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < until
            time.sleep(0.05)


def test_one_child_serves_all_that_ask_for_the_same(installed: Install, tmp_path: Path) -> None:
    installed(f"with open({str(tmp_path / 'imports')!r}, 'a') as f: f.write('x')")
    for _ in range(3):
        checked_options(KIND, "theirs", {"slope": 1.0})
    assert (tmp_path / "imports").read_text() == "x"


def test_another_version_than_the_planned_one_is_refused(installed: Install) -> None:
    installed()
    refuse_other_version(KIND, "theirs", "their-schedules", "3.1")
    with pytest.raises(
        UserError, match=r"planned with .* of their-schedules 3\.0, here it is that of their-schedules 3\.1"
    ):
        refuse_other_version(KIND, "theirs", "their-schedules", "3.0")
    with pytest.raises(
        UserError, match=r"planned with .* of their-schedules 3\.1: no learning-rate schedule gone.*Install"
    ):
        refuse_other_version(KIND, "gone", "their-schedules", "3.1")
    with pytest.raises(UserError, match=r"of my-fork 1\.0, here it is that of this project"):
        refuse_other_version("optimizer", "sgd", "my-fork", "1.0")


def test_the_child_finds_what_this_process_finds(installed: Install) -> None:
    """The folder is on this process' path only, not in PYTHONPATH."""
    installed()
    assert "their_schedules" not in os.environ.get("PYTHONPATH", "")
    assert checked_options(KIND, "theirs", {})["slope"] == 0.5


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("tags: set[str] = {'alpha', 'beta'}", "options.tags is a set, which has no order to be hashed in"),
        ("tags: dict[str, frozenset[int]] = {'a': frozenset((1, 2))}", "options.tags.a is a set"),
        ("hidden: float = Field(0.1, exclude=True)", "has neither alias nor exclude=True, but hidden"),
        ("lr_decay: float = Field(0.1, alias='lrDecay')", "has neither alias nor exclude=True, but lr_decay"),
        ("drawn: float = Field(default_factory=random.random)", "drawn is another value each time"),
    ],
)
def test_options_that_would_not_have_one_key_are_refused(installed: Install, option: str, message: str) -> None:
    """Each would give another key to the same work in each process, or one key to different work."""
    installed(imports="random, os, subprocess, sys, time\nfrom pydantic import Field", option=option)
    assert message in refused()


def test_plain_values_of_other_types_have_a_key(installed: Install) -> None:
    option = "place: pathlib.Path = pathlib.Path('x/y')\n    pairs: tuple[tuple[int, str], ...] = ((1, 'a'),)"
    installed(imports="pathlib, os, subprocess, sys, time", option=option)
    assert checked_options(KIND, "theirs", {}) == {"slope": 0.5, "knots": [1, 2], "place": "x/y", "pairs": [[1, "a"]]}

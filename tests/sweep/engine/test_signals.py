"""Ctrl-C, SIGTERM and SIGHUP: the first is a wish, the second an order."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sweep.commands import run_command
from sweep.commands.run_options import RunOptions
from sweep.engine.signals import SignalHandler

ROOT = Path(__file__).parents[3]


class Stoppable:
    """What of a driver an interruption needs."""

    stopped = 0

    def stop(self) -> None:
        self.stopped += 1


@pytest.fixture(autouse=True)
def handlers_as_before() -> Iterator[None]:
    inherited = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests themselves may run under nohup
    before = {number: signal.getsignal(number) for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)}
    yield
    assert {number: signal.getsignal(number) for number in before} == before
    signal.signal(signal.SIGHUP, inherited)


EACH = pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGHUP, 129), (signal.SIGINT, 130), (signal.SIGTERM, 143)]
)


@EACH
def test_the_first_asks_the_driver_to_stop(number: signal.Signals, status: int) -> None:
    driver: Any = Stoppable()
    with SignalHandler() as signal_handler:
        signal_handler.guard(driver)
        assert signal_handler.status is None
        signal.raise_signal(number)
    assert driver.stopped == 1
    assert signal_handler.status == status


@EACH
def test_the_second_ends_at_once(number: signal.Signals, status: int) -> None:
    driver: Any = Stoppable()
    with SignalHandler() as signal_handler:
        signal_handler.guard(driver)
        signal.raise_signal(number)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
    assert driver.stopped == 1
    assert signal_handler.status == status


@EACH
def test_before_anything_runs_the_first_ends_at_once(number: signal.Signals, status: int) -> None:
    with SignalHandler() as signal_handler, pytest.raises(KeyboardInterrupt):
        signal.raise_signal(number)
    assert signal_handler.status == status


def test_a_hang_up_that_nohup_ignores_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    driver: Any = Stoppable()
    try:
        with SignalHandler() as signal_handler:
            signal_handler.guard(driver)
            signal.raise_signal(signal.SIGHUP)
            assert signal_handler.status is None
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
    assert driver.stopped == 0


def test_a_handler_that_someone_took_over_is_taken_back() -> None:
    driver: Any = Stoppable()
    with SignalHandler() as signal_handler:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal_handler.guard(driver)
        signal.raise_signal(signal.SIGTERM)
    assert driver.stopped == 1


def test_the_handlers_are_given_back_after_an_error() -> None:
    with pytest.raises(KeyError), SignalHandler():
        raise KeyError


@EACH
def test_an_interruption_that_an_import_made_an_error_of_its_own_is_one_still(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], number: signal.Signals, status: int
) -> None:
    """As in the middle of pandas, whose C swallows it and then misses half of the package."""

    def importing(*_: Any) -> int:
        try:
            signal.raise_signal(number)
        except KeyboardInterrupt:
            raise AttributeError("partially initialized module") from None
        return 0

    monkeypatch.setattr(run_command, "_execute", importing)
    assert run_command.execute(RunOptions("tiny.yaml")) == status
    assert capsys.readouterr().out.startswith("interrupted. What is finished is kept; this goes on: ")


def test_an_error_without_an_interruption_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> int:
        raise AttributeError("a mistake of ours")

    monkeypatch.setattr(run_command, "_execute", broken)
    with pytest.raises(AttributeError, match="a mistake of ours"):
        run_command.execute(RunOptions("tiny.yaml"))


SLOW_TO_LEAVE = """
import atexit, runpy, sys, time
atexit.register(lambda: (print("leaving", flush=True), time.sleep(60)))
sys.argv[1:] = ["--grid", "nothing.yaml"]
runpy.run_module("sweep.run", run_name="__main__")
"""


def test_one_that_comes_while_the_command_leaves_ends_it_without_a_traceback() -> None:
    """As Ray does at the end of Python, for half a second."""
    command = [sys.executable, "-c", SLOW_TO_LEAVE]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT, text=True) as process:
        assert process.stdout is not None
        while "leaving" not in process.stdout.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == -signal.SIGINT
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()

"""Ctrl-C and SIGTERM: the first is a wish, the second an order."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

import pytest

from sweep.interrupts import Interrupts


class Stoppable:
    """What of a driver an interruption needs."""

    stopped = 0

    def stop(self) -> None:
        self.stopped += 1


@pytest.fixture(autouse=True)
def handlers_as_before() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    assert {number: signal.getsignal(number) for number in before} == before


BOTH = pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])


@BOTH
def test_the_first_asks_the_driver_to_stop(number: signal.Signals, status: int) -> None:
    driver: Any = Stoppable()
    with Interrupts() as interrupts:
        interrupts.guard(driver)
        assert interrupts.status is None
        signal.raise_signal(number)
    assert driver.stopped == 1
    assert interrupts.status == status


@BOTH
def test_the_second_ends_at_once(number: signal.Signals, status: int) -> None:
    driver: Any = Stoppable()
    with Interrupts() as interrupts:
        interrupts.guard(driver)
        signal.raise_signal(number)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
    assert driver.stopped == 1
    assert interrupts.status == status


@BOTH
def test_before_anything_runs_the_first_ends_at_once(number: signal.Signals, status: int) -> None:
    with Interrupts() as interrupts, pytest.raises(KeyboardInterrupt):
        signal.raise_signal(number)
    assert interrupts.status == status


def test_a_handler_that_someone_took_over_is_taken_back() -> None:
    driver: Any = Stoppable()
    with Interrupts() as interrupts:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        interrupts.guard(driver)
        signal.raise_signal(signal.SIGTERM)
    assert driver.stopped == 1


def test_the_handlers_are_given_back_after_an_error() -> None:
    with pytest.raises(KeyError), Interrupts():
        raise KeyError

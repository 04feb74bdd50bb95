"""Ctrl-C, SIGTERM and SIGHUP: the first asks a running study to stop cleanly, the second ends it at once."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

from sweep.engine.driver import Driver

SIGNALS = {signal.SIGHUP: 129, signal.SIGINT: 130, signal.SIGTERM: 143}
"""Signal -> exit status, by the convention of shells."""


class SignalHandler:
    """A context in which this class handles the signals. While no study runs, they end the command at once.

    A hang-up that was ignored when the command began, as by ``nohup``, stays ignored.

    Attributes:
        status: exit status of the signal that was received, or None.
    """

    def __init__(self) -> None:
        self.status: int | None = None
        self._driver: Driver | None = None
        self._deferring = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> SignalHandler:
        """Install the handlers."""
        self._before = {number: signal.getsignal(number) for number in SIGNALS}
        if self._before[signal.SIGHUP] == signal.SIG_IGN:
            del self._before[signal.SIGHUP]
        self.install()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Restore the handlers of before."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def install(self) -> None:
        """Install the handlers, again if need be: Ray installs its own for SIGTERM when it starts."""
        for number in self._before:
            signal.signal(number, self._handle)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Within, a signal is only recorded, and raised at the end; no one else can install a handler.

        Ray would install one for SIGTERM while it starts, and an exception that is raised in its callbacks may be lost.

        Raises:
            KeyboardInterrupt: at the end, if a signal was received.
        """
        real = signal.signal
        self._deferring = True
        signal.signal = lambda number, handler: None if number in SIGNALS else real(number, handler)  # type: ignore[assignment]
        try:
            yield
        finally:
            signal.signal = real
            self._deferring = False
        if self.status is not None:
            raise KeyboardInterrupt

    def guard(self, driver: Driver) -> None:
        """Make the first signal ask this driver to stop."""
        self.install()
        self._driver = driver

    def _handle(self, number: int, frame: FrameType | None) -> None:
        first = self.status is None
        self.status = SIGNALS[signal.Signals(number)]
        if self._deferring and first:
            return
        if self._driver is None or not first:
            raise KeyboardInterrupt
        self._driver.stop()

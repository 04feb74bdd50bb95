"""Ctrl-C and SIGTERM: the first asks a running study to stop cleanly, a second one ends it at once."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

from sweep.engine.driver import Driver

SIGNALS = {signal.SIGINT: 130, signal.SIGTERM: 143}
"""Signal -> exit status, as a shell gives it."""


class SignalHandler:
    """Takes the two signals over while within; where no study runs yet, they end the command at once.

    Attributes:
        status: the exit status of the signal that came, or None.
    """

    def __init__(self) -> None:
        self.status: int | None = None
        self._driver: Driver | None = None
        self._deferring = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> SignalHandler:
        """Begin to listen."""
        self._before = {number: signal.getsignal(number) for number in SIGNALS}
        self.listen()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the signals back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def listen(self) -> None:
        """Take the signals over (again: Ray takes SIGTERM for itself when it starts)."""
        for number in SIGNALS:
            signal.signal(number, self._heard)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Within, a signal is only noted, and acted on at the end; nobody else may take the signals over.

        Ray would take SIGTERM while it starts, and an exception raised in its callbacks may be lost.
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
        """From now on the first signal asks this driver to stop."""
        self.listen()
        self._driver = driver

    def _heard(self, number: int, frame: FrameType | None) -> None:
        first = self.status is None
        self.status = SIGNALS[signal.Signals(number)]
        if self._deferring and first:
            return
        if self._driver is None or not first:
            raise KeyboardInterrupt
        self._driver.stop()

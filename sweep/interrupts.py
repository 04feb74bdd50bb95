"""Ctrl-C and SIGTERM: the first asks a running study to stop cleanly, a second one ends it at once."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType
from typing import Any

from sweep.driver import Driver

SIGNALS = {signal.SIGINT: 130, signal.SIGTERM: 143}
"""Signal -> exit status, as a shell gives it."""


class Interrupts:
    """Takes the two signals over while within; where no study runs yet, they end the command at once.

    Attributes:
        status: the exit status of the signal that came, or None.
    """

    def __init__(self) -> None:
        self.status: int | None = None
        self._driver: Driver | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupts:
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

    def guard(self, driver: Driver) -> None:
        """From now on the first signal asks this driver to stop."""
        self.listen()
        self._driver = driver

    def _heard(self, number: int, frame: FrameType | None) -> None:
        first = self.status is None
        self.status = SIGNALS[signal.Signals(number)]
        if self._driver is None or not first:
            raise KeyboardInterrupt
        self._driver.stop()

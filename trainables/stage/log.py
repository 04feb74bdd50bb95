"""The log of a stage: collected in memory, written to its folder at the end, and copied to Python's logging."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from trainables.specs import Stage


class StageLog:
    """Lines of text about one attempt at a stage."""

    def __init__(self, stage: Stage, forward: Callable[[str], None] | None = None) -> None:
        """Start a log with a line that describes the stage.

        Args:
            stage: the stage.
            forward: takes the lines instead, without the first: of a worker in another process.
        """
        self._lines: list[str] = []
        self._logger = logging.getLogger("trainables.stage.run")
        self._forward = forward
        if forward is None:
            rate = "" if stage.learning_rate is None else f", learning rate {stage.learning_rate:g}"
            self.say(f"{stage.kind} {stage.name}, key {stage.key}{rate}")

    def say(self, text: str) -> None:
        """Add a line."""
        if self._forward is not None:
            self._forward(text)
            return
        line = f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}"
        self._lines.append(line)
        self._logger.debug(line)

    def content(self) -> bytes:
        """Return the content of ``log.txt``."""
        return ("\n".join(self._lines) + "\n").encode()

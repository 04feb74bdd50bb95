"""A stage's own log: kept in memory, in its folder when it ends, and passed on to Python's logging."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from trainables.specs import Stage


class StageLog:
    """What a stage says of itself, line by line."""

    def __init__(self, stage: Stage, pass_on: Callable[[str], None] | None = None) -> None:
        """Begin with what the stage is; of a worker in another process the lines are passed on instead."""
        self._lines: list[str] = []
        self._logger = logging.getLogger("trainables.stage.run")
        self._pass_on = pass_on
        if pass_on is None:
            rate = "" if stage.learning_rate is None else f", learning rate {stage.learning_rate:g}"
            self.say(f"{stage.kind} {stage.name}, key {stage.key}{rate}")

    def say(self, text: str) -> None:
        """Add a line."""
        if self._pass_on is not None:
            self._pass_on(text)
            return
        line = f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}"
        self._lines.append(line)
        self._logger.debug(line)

    def content(self) -> bytes:
        """Return the log as it stands in ``log.txt``."""
        return ("\n".join(self._lines) + "\n").encode()

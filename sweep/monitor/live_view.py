"""A running study in the terminal: scores of all cells, running stages, busy slots, time left and cost."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.text import Text

from sweep.engine.callbacks import CANCELLED, Callback
from sweep.monitor.duration import duration
from sweep.monitor.progress_stats import ProgressSnapshot
from sweep.monitor.score_matrix import Cells, matrix
from sweep.schedule.retry_policy import error_signature
from trainables.specs import Stage

PLAIN_SUMMARY_SECONDS = 30.0
MAX_RUNNING = 8
"""Running stages that are listed; of more, the number is shown."""


class LiveView(Callback):
    """Shows the driver's events: as lines, and as a table that is redrawn if the console is a terminal.

    Attributes:
        live: that redraws it, or None if the console is not a terminal.
        errors: error signature -> (first error, stages that failed for good with it).
    """

    live: Live | None = None

    def __init__(
        self,
        console: Console,
        stages: Sequence[Stage],
        done: Mapping[str, float | None],
        snapshot: Callable[[], ProgressSnapshot],
    ) -> None:
        """Begin with the stages that are done.

        Args:
            console: to write to.
            stages: of the plan.
            done: key -> val score (or None) of the stages that are done.
            snapshot: returns the current progress.
        """
        self._console = console
        self._stages = {str(stage.key): stage for stage in stages}
        self._snapshot = snapshot
        self._scores: dict[str, float | None] = dict(done)
        self._running: dict[str, tuple[float, float]] = {}  # key -> started, share done
        self._gone: dict[str, str] = {}  # key -> failed, blocked or stopped
        self._begun = time.monotonic()
        self._last_summary = self._begun
        self._shown_errors: set[str] = set()
        self.errors: dict[str, tuple[str, list[Stage]]] = {}

    def started(self, stage: Stage, attempt: int) -> None:
        """Show a running stage; another attempt than the first gets a line."""
        self._running[str(stage.key)] = (time.monotonic(), 0.0)
        if attempt > 1:
            self._line(f"   retry {stage.kind} {stage.name} (attempt {attempt})")

    def progressed(self, stage: Stage, progress: Mapping[str, Any]) -> None:
        """Update the share of a stage that is done; now and then a log gets a line with the progress of all."""
        started, _ = self._running[str(stage.key)]
        self._running[str(stage.key)] = (started, progress["epoch"] / progress["epochs"])
        if self.live is None and time.monotonic() - self._last_summary > PLAIN_SUMMARY_SECONDS:
            self._line(f"         {self.summary()}")

    def finished(self, stage: Stage, result: Mapping[str, Any]) -> None:
        """Write the line of a stage that is done."""
        key = str(stage.key)
        self._running.pop(key)
        score = self._scores[key] = result["metrics"].get("val_f1_macro")
        count = f"[{len(self._scores)}/{len(self._stages)}]"
        found = f"rate {result['learning_rate']:g}" if score is None else f"val F1 {score:.3f}"
        self._line(
            f"{count:>9} {stage.kind} {stage.name}: {found}, {result['seconds']:.0f} s; {left(self._snapshot())}"
        )

    def failed(self, stage: Stage, error: str, again: bool, blocked: Sequence[Stage]) -> None:
        """Write the line of a failed attempt; the same error is written in full only once."""
        key = str(stage.key)
        self._running.pop(key, None)
        if error == CANCELLED:
            self._gone |= {str(gone.key): "stopped" for gone in (stage, *blocked)}
            self._line(f"         {stage.kind} {stage.name}: {error}")
            return
        if not again:
            self._gone |= {key: "failed", **{str(b.key): "blocked" for b in blocked}}
            self.errors.setdefault(error_signature(error), (error, []))[1].append(stage)
        what = (
            "failed, will be tried again" if again else f"FAILED{f', blocks {len(blocked)} stages' if blocked else ''}"
        )
        known = error in self._shown_errors
        self._shown_errors.add(error)
        self._line(f"         {stage.kind} {stage.name}: {what}: {'the error told above' if known else error}")

    def summary(self) -> str:
        """Return one line: stages done and failed, busy slots, time left, money."""
        self._last_summary = time.monotonic()
        return f"{self._done()}, {numbers(self._snapshot())}"

    def _done(self) -> str:
        gone = Counter(self._gone.copy().values())
        done = f"{len(self._scores)} of {len(self._stages)} stages done"
        return ", ".join([done, *(f"{count} {state}" for state, count in gone.items())])

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Render the score matrix, the running stages and the summary, in as many lines as there are."""
        width, lines = options.max_width, max(8, options.height or console.height) - 1
        so_far = f"{self._done()}; {duration(time.monotonic() - self._begun)} so far"
        summary = [
            line for text in (so_far, numbers(self._snapshot())) for line in Text(text, "bold").wrap(console, width)
        ]
        running = list(self._running_lines(width))
        yield matrix(self._cells(), width, lines - len(running) - len(summary))
        yield from running
        yield from summary

    def _running_lines(self, width: int) -> Iterator[Text]:
        """The running stages, the oldest first: share done, time, and as much of the name as fits."""
        running = sorted(self._running.copy().items(), key=lambda item: item[1])
        for key, (started, share) in running[:MAX_RUNNING]:
            stage = self._stages[key]
            line = Text(f"{share:5.0%} {duration(time.monotonic() - started):>10}  {stage.kind:9}{stage.name}")
            line.truncate(width, overflow="ellipsis")
            yield line
        if len(running) > MAX_RUNNING:
            yield Text(f"      and {len(running) - MAX_RUNNING} more are running", style="dim")

    def _cells(self) -> Cells:
        """State and score of each cell, by row and fold."""
        scores, gone, running = self._scores.copy(), self._gone.copy(), self._running.copy()
        cells: Cells = {}
        for key, stage in self._stages.items():
            if stage.kind == "finetune" and stage.fold is not None:
                state = "running" if key in running else "done" if key in scores else gone.get(key, "waiting")
                row = cells.setdefault((stage.architecture, stage.scenario), {})
                row.setdefault(stage.fold, []).append((state, scores.get(key)))
        return cells

    def _line(self, text: str) -> None:
        self._console.print(Text(text))


def numbers(snapshot: ProgressSnapshot) -> str:
    """Return busy slots, time left and money as text."""
    bill = "" if snapshot.bill is None else f" of about {snapshot.bill:,.2f}"
    money = "" if snapshot.spent is None else f", {snapshot.spent:,.2f}{bill} spent"
    return f"{snapshot.busy} of {snapshot.slots} {snapshot.unit} busy, {left(snapshot)}{money}"


def left(snapshot: ProgressSnapshot) -> str:
    """Return the time left as text; ``?`` while it is unknown."""
    return "? left" if snapshot.end is None else f"{duration(max(0.0, snapshot.end - time.monotonic()))} left"

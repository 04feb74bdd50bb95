"""A running study as a person watches it: the matrix of scores, what runs, how busy, how long still, what it costs."""

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
from sweep.schedule.retry_policy import alike
from trainables.specs import Stage

PLAIN_SUMMARY_SECONDS = 30.0
MOST_RUNNING = 8
"""So many running stages are listed."""


class LiveView(Callback):
    """What goes on, as told by the driver. Renders itself; where nothing is live, it writes lines."""

    live: Live | None = None

    def __init__(
        self,
        console: Console,
        stages: Sequence[Stage],
        done: Mapping[str, float | None],
        snapshot: Callable[[], ProgressSnapshot],
    ) -> None:
        """Begin with the stages that are done: key -> val score."""
        self._console = console
        self._stages = {str(stage.key): stage for stage in stages}
        self._outlook = snapshot
        self._scores: dict[str, float | None] = dict(done)
        self._running: dict[str, tuple[float, float]] = {}  # key -> started, share done
        self._gone: dict[str, str] = {}  # key -> failed or blocked
        self._begun = time.monotonic()
        self._last_summary = self._begun
        self._said: set[str] = set()
        self.errors: dict[str, tuple[str, list[Stage]]] = {}
        """Stages that failed for good, and the first one's error, by what their errors have in common."""

    def started(self, stage: Stage, attempt: int) -> None:
        """Note that an attempt began."""
        self._running[str(stage.key)] = (time.monotonic(), 0.0)
        if attempt > 1:
            self._line(f"again    {stage.kind} {stage.name} (attempt {attempt})")

    def progressed(self, stage: Stage, progress: Mapping[str, Any]) -> None:
        """Note an epoch."""
        started, _ = self._running[str(stage.key)]
        self._running[str(stage.key)] = (started, progress["epoch"] / progress["epochs"])
        if self.live is None and time.monotonic() - self._last_summary > PLAIN_SUMMARY_SECONDS:
            self._line(f"         {self.summary()}")

    def finished(self, stage: Stage, result: Mapping[str, Any]) -> None:
        """Note a committed stage."""
        key = str(stage.key)
        self._running.pop(key)
        score = self._scores[key] = result["metrics"].get("val_f1_macro")
        count = f"[{len(self._scores)}/{len(self._stages)}]"
        found = f"rate {result['learning_rate']:g}" if score is None else f"val F1 {score:.3f}"
        self._line(f"{count:>9} {stage.kind} {stage.name}: {found}, {result['seconds']:.0f} s; {left(self._outlook())}")

    def failed(self, stage: Stage, error: str, again: bool, blocked: Sequence[Stage]) -> None:
        """Note a failed attempt; a new kind of error is shown in full once."""
        key = str(stage.key)
        self._running.pop(key, None)
        if error == CANCELLED:
            self._gone |= {str(gone.key): "stopped" for gone in (stage, *blocked)}
            self._line(f"         {stage.kind} {stage.name}: {error}")
            return
        if not again:
            self._gone |= {key: "failed", **{str(b.key): "blocked" for b in blocked}}
            self.errors.setdefault(alike(error), (error, []))[1].append(stage)
        what = (
            "failed, will be tried again" if again else f"FAILED{f', blocks {len(blocked)} stages' if blocked else ''}"
        )
        known = error in self._said
        self._said.add(error)
        self._line(f"         {stage.kind} {stage.name}: {what}: {'the same error as before' if known else error}")

    def summary(self) -> str:
        """Return one line: done, failed, how busy, how long still, money."""
        self._last_summary = time.monotonic()
        return f"{self._done()}, {numbers(self._outlook())}"

    def _done(self) -> str:
        gone = Counter(self._gone.copy().values())
        done = f"{len(self._scores)} of {len(self._stages)} stages done"
        return ", ".join([done, *(f"{count} {state}" for state, count in gone.items())])

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Render what goes on in all, what runs, and the matrix: as much of it as there are lines."""
        width, lines = options.max_width, max(8, options.height or console.height) - 1
        so_far = f"{self._done()}; {duration(time.monotonic() - self._begun)} so far"
        summary = [
            line for text in (so_far, numbers(self._outlook())) for line in Text(text, "bold").wrap(console, width)
        ]
        running = list(self._running_lines(width))
        yield matrix(self._cells(), width, lines - len(running) - len(summary))
        yield from running
        yield from summary

    def _running_lines(self, width: int) -> Iterator[Text]:
        """The stages that run, the oldest first: share done, time, and as much of the name as fits."""
        running = sorted(self._running.copy().items(), key=lambda item: item[1])
        for key, (started, share) in running[:MOST_RUNNING]:
            stage = self._stages[key]
            line = Text(f"{share:5.0%} {duration(time.monotonic() - started):>10}  {stage.kind:9}{stage.name}")
            line.truncate(width, overflow="ellipsis")
            yield line
        if len(running) > MOST_RUNNING:
            yield Text(f"      and {len(running) - MOST_RUNNING} more are running", style="dim")

    def _cells(self) -> Cells:
        """The state and the scores of the cells, by row and fold."""
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
    """Return how busy the cluster is, how long still, and money, in words."""
    bill = "" if snapshot.bill is None else f" of about {snapshot.bill:,.2f}"
    money = "" if snapshot.spent is None else f", {snapshot.spent:,.2f}{bill} spent"
    return f"{snapshot.busy} of {snapshot.slots} {snapshot.unit} busy, {left(snapshot)}{money}"


def left(snapshot: ProgressSnapshot) -> str:
    """Return how long the rest will take, or ``?`` while nothing is known."""
    return "? left" if snapshot.end is None else f"{duration(max(0.0, snapshot.end - time.monotonic()))} left"

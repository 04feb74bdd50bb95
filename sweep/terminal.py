"""The one place that owns the terminal: a live matrix where there is one, plain lines where there is not."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from sweep.estimate import Clock
from trainables.specs import Stage

PLAIN_SUMMARY_SECONDS = 30.0


class Terminal:
    """Says things to a person: results on standard output, faults on standard error."""

    def __init__(self) -> None:
        """Take over the standard streams."""
        self.out = Console(highlight=False, soft_wrap=True)
        self.err = Console(stderr=True, highlight=False, soft_wrap=True)

    def say(self, text: str = "") -> None:
        """Write one line."""
        self.out.print(Text(text))

    def note(self, text: str) -> None:
        """Write one line beside the output, on standard error."""
        self.err.print(Text(text))

    def show(self, table: RenderableType) -> None:
        """Write a table."""
        self.out.print(table)

    def raw(self, text: str) -> None:
        """Write text for a program to read, untouched."""
        sys.stdout.write(text + "\n")

    def faults(self, faults: Iterable[str]) -> None:
        """Write what is wrong, one line each."""
        for fault in faults:
            self.err.print(Text.assemble(("error:", "bold red"), f" {fault}"))

    @contextmanager
    def preparing(self) -> Iterator[Any]:
        """Show how far the preparation of data sets is; yields the function to tell."""
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        with Progress(
            TextColumn("preparing {task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=self.err,
            transient=True,
            disable=not self.err.is_terminal,
        ) as bar:
            tasks: dict[str, Any] = {}

            def progress(name: str, done: int, total: int) -> None:
                tasks.setdefault(name, bar.add_task(name, total=total) if name not in tasks else None)
                bar.update(tasks[name], completed=done)

            yield progress

    @contextmanager
    def watching(
        self, stages: Sequence[Stage], costs: Mapping[str, float], done: Mapping[str, float | None], slots: int
    ) -> Iterator[Watch]:
        """Show a running study; yields who is to be told."""
        watch = Watch(self.out, stages, costs, done, slots)
        if not self.out.is_terminal:
            yield watch
            return
        with Live(watch, console=self.out, refresh_per_second=2, transient=True) as live:
            watch.live = live
            yield watch


class Watch:
    """What goes on, as told by the driver. Renders itself as the matrix and the list of running stages."""

    live: Live | None = None

    def __init__(
        self,
        console: Console,
        stages: Sequence[Stage],
        costs: Mapping[str, float],
        done: Mapping[str, float | None],
        slots: int,
    ) -> None:
        """Begin with the stages that are done: key -> val score."""
        self._console = console
        self._stages = {str(stage.key): stage for stage in stages}
        self._costs = costs
        self._slots = max(slots, 1)
        self._clock = Clock()
        self._scores: dict[str, float | None] = dict(done)
        self._running: dict[str, tuple[float, float]] = {}  # key -> started, share done
        self._gone: dict[str, str] = {}  # key -> failed or blocked
        self._begun = time.monotonic()
        self._last_summary = self._begun
        self.errors: dict[str, list[Stage]] = {}

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
        started, _ = self._running.pop(key)
        self._clock.measured(stage.architecture, self._costs[key], time.monotonic() - started)
        self._scores[key] = result["metrics"].get("val_f1_macro")
        count = f"[{len(self._scores)}/{len(self._stages)}]"
        score = self._scores[key]
        found = f"rate {result['learning_rate']:g}" if score is None else f"val F1 {score:.3f}"
        self._line(f"{count:>9} {stage.kind} {stage.name}: {found}, {result['seconds']:.0f} s; {self.left()} left")

    def failed(self, stage: Stage, error: str, again: bool, blocked: Sequence[Stage]) -> None:
        """Note a failed attempt; a new kind of error is shown in full once."""
        key = str(stage.key)
        self._running.pop(key, None)
        if not again:
            self._gone |= {key: "failed", **{str(b.key): "blocked" for b in blocked}}
            self.errors.setdefault(error, []).append(stage)
        what = (
            "failed, will be tried again" if again else f"FAILED{f', blocks {len(blocked)} stages' if blocked else ''}"
        )
        self._line(f"         {stage.kind} {stage.name}: {what}: {error}")

    def summary(self) -> str:
        """Return one line: done, running, failed, left."""
        self._last_summary = time.monotonic()
        parts = [
            f"{len(self._scores)} of {len(self._stages)} stages done",
            f"{len(self._running)} running on {self._slots}",
        ]
        for state in ("failed", "blocked"):
            count = list(self._gone.values()).count(state)
            parts += [f"{count} {state}"] if count else []
        return ", ".join([*parts, f"{self.left()} left"])

    def seconds(self, key: str) -> float | None:
        """Return how long a stage takes on one worker, from what was measured in this run; None before that."""
        return self._clock.seconds(self._stages[key].architecture, self._costs[key])

    def left(self) -> str:
        """Return how long the rest will take, or ``?`` before anything was measured."""
        seconds, longest = 0.0, 0.0
        for key, stage in self._stages.items():
            if key in self._scores or key in self._gone:
                continue
            expected = self._clock.seconds(stage.architecture, self._costs[key])
            if expected is None:
                return "?"
            rest = expected * (1 - self._running.get(key, (0.0, 0.0))[1])
            seconds, longest = seconds + rest, max(longest, rest)
        return duration(max(seconds / self._slots, longest))

    def __rich__(self) -> RenderableType:
        """Render the matrix architecture and scenario × fold, and the running stages."""
        running = [
            Text(
                f"  {self._stages[key].kind:9}{self._stages[key].name}  {share:4.0%}  {duration(time.monotonic() - started)}"
            )
            for key, (started, share) in self._running.items()
        ]
        return Group(
            self._matrix(),
            *running,
            Text(f"{self.summary()}, {duration(time.monotonic() - self._begun)} so far", style="bold"),
        )

    def _matrix(self) -> Table:
        cells: dict[tuple[str, str], dict[int, list[str]]] = {}
        for key, stage in self._stages.items():
            if stage.kind == "finetune" and stage.fold is not None:
                cells.setdefault((stage.architecture, stage.scenario), {}).setdefault(stage.fold, []).append(key)
        folds = sorted({fold for row in cells.values() for fold in row})
        table = Table("architecture", "scenario", *(f"fold {fold}" for fold in folds), box=None, pad_edge=False)
        for (architecture, scenario), row in cells.items():
            table.add_row(Text(architecture), Text(scenario), *(self._cell(row.get(fold, [])) for fold in folds))
        return table

    def _cell(self, keys: Sequence[str]) -> Text:
        """The best val score of a fold's rates, or what they are at."""
        scores = [score for key in keys if (score := self._scores.get(key)) is not None]
        if any(self._gone.get(key) == "failed" for key in keys):
            return Text("failed", style="red")
        if any(key in self._gone for key in keys):
            return Text("blocked", style="red")
        shown = f"{max(scores):.3f}" if scores else ""
        if any(key in self._running for key in keys):
            return Text(f"{shown}…", style="yellow")
        return Text(shown, style="green") if len(scores) == len(keys) else Text(shown or "·", style="dim")

    def _line(self, text: str) -> None:
        self._console.print(Text(text))


def duration(seconds: float) -> str:
    """Return seconds as people say them: ``48 s``, ``12 min``, ``3 h 05 min``, ``2 d 4 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"

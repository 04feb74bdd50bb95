"""The one place that owns the terminal: a live matrix where there is one, plain lines where there is not."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from trainables.specs import Stage

if TYPE_CHECKING:  # a program that only says something need not wait for these
    from sweep.monitor.live_view import LiveView
    from sweep.monitor.progress_stats import ProgressSnapshot


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
        self, stages: Sequence[Stage], done: Mapping[str, float | None], snapshot: Callable[[], ProgressSnapshot]
    ) -> Iterator[LiveView]:
        """Show a running study; yields who is to be told."""
        from sweep.monitor.live_view import LiveView

        watch = LiveView(self.out, stages, done, snapshot)
        if not self.out.is_terminal:
            yield watch
            return
        with Live(watch, console=self.out, refresh_per_second=2, transient=True) as live:
            watch.live = live
            yield watch

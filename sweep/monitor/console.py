"""The one place that writes to the terminal: a live view if it is one, plain lines if it is a file or a pipe."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.live import Live
from rich.segment import Segment
from rich.text import Text

from trainables.specs import Stage
from trainables.streams import harmless

if TYPE_CHECKING:  # importing these would delay programs that only print lines
    from sweep.monitor.live_view import LiveView
    from sweep.monitor.progress_stats import ProgressSnapshot


class _HarmlessConsole(Console):
    """A console that writes control characters of texts as escapes: names of images and classes may hold any."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render, with rich's own control sequences as they are."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(harmless(segment.text), segment.style)


class Terminal:
    """Writes text for people: results to standard output, faults to standard error."""

    def __init__(self) -> None:
        """Open the standard streams."""
        self.out: Console = _HarmlessConsole(highlight=False, soft_wrap=True, force_interactive=_repaints(sys.stdout))
        self.err: Console = _HarmlessConsole(
            stderr=True, highlight=False, soft_wrap=True, force_interactive=_repaints(sys.stderr)
        )

    def say(self, text: str = "") -> None:
        """Write one line."""
        self.out.print(Text(text))

    def note(self, text: str) -> None:
        """Write one line to standard error."""
        self.err.print(Text(text))

    def show(self, table: RenderableType) -> None:
        """Write a table."""
        self.out.print(table)

    def raw(self, text: str) -> None:
        """Write text for a program, without any formatting."""
        sys.stdout.write(text + "\n")

    def faults(self, faults: Iterable[str]) -> None:
        """Write errors, one line each."""
        for fault in faults:
            self.err.print(Text.assemble(("error:", "bold red"), f" {fault}"))

    @contextmanager
    def preparing(self) -> Iterator[Any]:
        """Show a progress bar of the preparation of data sets; yields the function that updates it."""
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        with Progress(
            TextColumn("preparing {task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=self.err,
            transient=True,
            disable=not self.err.is_interactive,
        ) as bar:
            tasks: dict[str, Any] = {}

            def progress(name: str, done: int, total: int) -> None:
                tasks.setdefault(name, bar.add_task(name, total=total) if name not in tasks else None)
                bar.update(tasks[name], completed=done)

            yield progress

    @contextmanager
    def live_view(
        self, stages: Sequence[Stage], done: Mapping[str, float | None], snapshot: Callable[[], ProgressSnapshot]
    ) -> Iterator[LiveView]:
        """Show a running study until the context ends.

        Args:
            stages: of the plan.
            done: key -> val score (or None) of the stages that are done.
            snapshot: returns the current progress.

        Yields:
            The callback that shows the run's events.
        """
        from sweep.monitor.live_view import LiveView

        view = LiveView(self.out, stages, done, snapshot)
        if not self.out.is_interactive:
            yield view
            return
        with Live(view, console=self.out, refresh_per_second=2, transient=True) as live:
            view.live = live
            yield view


def _repaints(stream: TextIO | None) -> bool | None:
    """False where a stream is no terminal, whatever ``FORCE_COLOR`` says: it asks for colours. None: as the terminal can."""
    return None if stream is not None and stream.isatty() else False

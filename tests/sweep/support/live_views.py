"""Live views that write to memory, and what they show."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from sweep.monitor.live_view import LiveView
from sweep.monitor.progress_stats import ProgressSnapshot
from sweep.plan.plan import Plan
from trainables.specs import Stage

NASTY = "[bold]x[/] [/nothing] :key: \\[a] {b} é☃"


def plain(width: int = 120) -> Console:
    return Console(file=io.StringIO(), width=width, highlight=False, soft_wrap=True)


def text_of(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def view_of(plan: Plan, **more: Any) -> LiveView:
    snapshot = more.get("snapshot", ProgressSnapshot("GPUs", 2, 0))
    return LiveView(plain(), plan.stages, more.get("done", {}), lambda: snapshot)


def cells(plan: Plan, scenario: str, fold: int) -> list[Stage]:
    return [cell for cell in plan.cells if (cell.scenario, cell.fold) == (scenario, fold)]


def finish(view: LiveView, stage: Stage, score: float = 0.8125) -> None:
    view.started(stage, 1)
    view.finished(stage, {"metrics": {"val_f1_macro": score}, "seconds": 12.3})


def lines(view: LiveView) -> list[str]:
    return text_of(view._console).splitlines()


def drawn(view: LiveView, width: int = 120, height: int = 50) -> list[str]:
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=True, color_system=None)
    console.print(view)
    return [line.rstrip() for line in text_of(console).splitlines()]

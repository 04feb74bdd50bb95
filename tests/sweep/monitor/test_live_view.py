"""A run in the terminal: its lines, its failures, its progress."""

from __future__ import annotations

import time
from typing import Any

import pytest

from sweep.engine.callbacks import CANCELLED
from sweep.monitor.live_view import LiveView
from sweep.monitor.plan_view import plan_tables
from sweep.monitor.progress_stats import ProgressSnapshot
from sweep.plan.inputs import Inputs
from sweep.plan.plan import Plan
from tests.sweep.support.live_views import NASTY, cells, drawn, finish, lines, plain, text_of, view_of


def test_lines_of_a_run(view: LiveView, plan: Plan) -> None:
    pretrain, first, second, *_ = plan.stages
    finish(view, pretrain)
    view.started(first, 1)
    view.failed(first, "ValueError: x", again=True, blocked=[])
    view.started(first, 2)
    finish(view, second, 0.9)
    shown = lines(view)
    assert len(shown) == 4
    assert shown[0].startswith("    [1/9] pretrain tiny-random+tissue-")
    assert "val F1 0.812, 12 s; " in shown[0]
    assert shown[0].endswith(" left")
    assert shown[1].strip() == f"finetune {first.name}: failed, will be tried again: ValueError: x"
    assert f"finetune {first.name} (attempt 2)" in shown[2]
    assert shown[3].startswith("    [2/9] finetune")
    assert view.errors == {}


def test_a_failure_names_what_it_blocks_and_is_kept_by_error(view: LiveView, plan: Plan) -> None:
    pretrain = plan.stages[0]
    blocked = [cell for cell in plan.cells if cell.scenario == "Tissue"]
    view.started(pretrain, 2)
    view.failed(pretrain, "ValueError: x", again=False, blocked=blocked)
    other = cells(plan, "Random", 0)[0]
    view.failed(other, "ValueError: x", again=False, blocked=[])
    assert "FAILED, blocks 4 stages: ValueError: x" in lines(view)[1]
    assert "FAILED: the error told above" in lines(view)[2]
    assert list(view.errors.values()) == [("ValueError: x", [pretrain, other])]
    assert "2 failed, 4 blocked" in view.summary()
    matrix = "\n".join(drawn(view))
    assert matrix.count("failed") == 2, "a cell of the matrix, and the summary"
    assert matrix.count("blocked") == 3, "two cells of the matrix, and the summary"


def test_a_stage_that_a_person_stopped_is_no_failure(view: LiveView, plan: Plan) -> None:
    view.failed(plan.stages[0], CANCELLED, again=False, blocked=plan.stages[1:3])
    assert "3 stopped" in view.summary()
    assert "failed" not in view.summary()
    assert not view.errors


def test_errors_that_differ_in_numbers_are_kept_together(view: LiveView, plan: Plan) -> None:
    one, other = cells(plan, "Random", 1)
    view.failed(one, "ValueError: 8 of 12345678abcdef", again=False, blocked=[])
    view.failed(other, "ValueError: 9 of 87654321fedcba", again=False, blocked=[])
    assert list(view.errors.values()) == [("ValueError: 8 of 12345678abcdef", [one, other])]


def test_names_with_markup_come_through(planned: Any, document: dict[str, Any]) -> None:
    document["scenarios"][NASTY] = {"start": "im"}
    document["weights"] = {"im": {"tiny": {"file": "x"}}}
    plan = planned(document)
    view = view_of(plan)
    stage = next(cell for cell in plan.cells if cell.scenario == NASTY)
    view.started(stage, 1)
    view.failed(stage, f"Error: {NASTY}", again=False, blocked=[])
    assert f"Error: {NASTY}" in lines(view)[-1].replace("  ", " ")
    assert any(NASTY in line for line in drawn(view))
    console = plain()
    for table in plan_tables(plan, [], Inputs(missing=[f"weights {NASTY}: looked for"])):
        console.print(table)
    assert f"weights {NASTY}: looked for" in text_of(console)
    assert NASTY in text_of(console)


def test_what_was_done_before_counts(plan: Plan) -> None:
    before = {str(stage.key): 0.6 for stage in plan.stages[:4]}
    view = view_of(plan, done=before)
    assert view.summary() == "4 of 9 stages done, 0 of 2 GPUs busy, ? left"
    assert any("0.600" in line for line in drawn(view))


def test_a_stage_without_a_val_score_does_not_end_the_run(plan: Plan) -> None:
    assert drawn(view_of(plan, done={str(stage.key): None for stage in plan.stages}))


def test_the_numbers_are_in_every_view(plan: Plan) -> None:
    view = view_of(plan, snapshot=ProgressSnapshot("GPUs", 8, 7, time.monotonic() + 3 * 3600, 12.5, 1234.5))
    numbers = "7 of 8 GPUs busy, 3 h 00 min left, 12.50 of about 1,234.50 spent"
    assert view.summary() == f"0 of 9 stages done, {numbers}"
    assert drawn(view, 80)[-2:] == ["0 of 9 stages done; 0 s so far", numbers]
    assert " ".join(drawn(view, 40)[-2:]) == numbers
    finish(view, plan.stages[0])
    assert lines(view)[-1].endswith("12 s; 3 h 00 min left")


def test_the_time_left_runs_down_while_nothing_happens(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    view = view_of(plan, snapshot=ProgressSnapshot("workers", 2, 2, 1080.0))
    assert "80 s left" in view.summary()
    now[0] += 30
    assert "50 s left" in view.summary()
    now[0] += 300
    assert "0 s left" in view.summary()


def test_a_log_gets_a_summary_now_and_then(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    view = view_of(plan)
    view.started(plan.stages[0], 1)
    for _ in range(8):
        now[0] += 10
        view.progressed(plan.stages[0], {"epoch": 1, "epochs": 2})
    assert len(lines(view)) == 2
    assert all("0 of 9 stages done, 0 of 2 GPUs busy, ? left" in line for line in lines(view))

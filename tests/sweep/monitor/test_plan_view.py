"""The plan as tables."""

from __future__ import annotations

from sweep.monitor.plan_view import plan_tables
from sweep.plan.inputs import Inputs
from sweep.plan.plan import Plan
from tests.sweep.support.live_views import plain, text_of


def test_the_plan_as_tables(plan: Plan) -> None:
    states = ["done", "failed", *["waiting"] * 7]
    rows = [{"kind": stage.kind, "state": state} for stage, state in zip(plan.stages, states, strict=True)]
    console = plain(80)
    for table in plan_tables(plan, rows, Inputs()):
        console.print(table)
    lines = [line.split() for line in text_of(console).splitlines()]
    assert ["architecture", "1:", "tiny", "8"] in lines
    assert ["learning_rate", "2:", "0.02,", "0.05", "4"] in lines
    assert ["pretrain", "1", "1", "0", "0", "0"] in lines
    assert ["finetune", "8", "0", "1", "0", "8"] in lines
    assert "8 cells, 9 stages; 12 if each cell trained its own pre-training: sharing saves 3" in text_of(console)
    assert "not at hand" not in text_of(console)

"""The table of scores in terminals of any size."""

from __future__ import annotations

import time
from typing import Any

import pytest

from sweep.monitor.live_view import LiveView
from sweep.monitor.progress_stats import ProgressSnapshot
from sweep.plan.plan import Plan
from tests.sweep.support.live_views import cells, drawn, finish, view_of


@pytest.mark.parametrize("width", [68, 80, 120])
def test_the_matrix_fits_and_shows_every_cell(planned: Any, document: dict[str, Any], width: int) -> None:
    document["split"]["folds"] = 5
    document["architectures"] = {"tf_efficientnet_lite0": {"model": "timm/test_resnet"}}
    document["axes"]["architecture"] = ["tf_efficientnet_lite0"]
    plan = planned(document)
    view = view_of(plan)
    for fold in range(5):
        for i, cell in enumerate(cells(plan, "Tissue", fold)):
            finish(view, cell, 0.5 + fold / 100 + i / 1000)
    running = cells(plan, "Random", 3)[0]
    view.started(running, 1)
    view.progressed(running, {"epoch": 1, "epochs": 4})
    shown = drawn(view, width)
    assert max(len(line) for line in shown) <= width
    together = "\n".join(shown)
    for fold in range(5):
        assert f"0.5{fold}1" in together, "the better of the two rates"
    assert "Tissue" in together
    assert "25%" in together
    assert "10 of 11 stages done" not in together
    assert "10 of 21 stages done" in " ".join(together.split())


def big_study(planned: Any, document: dict[str, Any], folds: int) -> Plan:
    """As many rows as the paper has: 4 networks with long names × 6 scenarios."""
    names = ["vgg19_bn", "resnet152", "regnet_y_32gf", "vit_l_32"]
    document["data"]["scenes"] = {"reader": "generated", "generator": "scenes"}
    document["weights"] = {"imagenet": {name: {"file": name} for name in names}}
    pretrain = {"": [], "+PCam": ["tissue"], "+CD": ["scenes"]}
    document["scenarios"] = {
        f"{start}{more}": {"start": start.lower(), "pretrain": sets}
        for start in ("Random", "ImageNet")
        for more, sets in pretrain.items()
    }
    document["split"]["folds"] = folds
    document["axes"] = {"architecture": names, "learning_rate": 0.01}
    return Plan(planned(document).grid, planned(document).stages)


def test_the_paper_fits_an_ssh_window_of_80_by_24(planned: Any, document: dict[str, Any]) -> None:
    plan = big_study(planned, document, 5)
    view = view_of(plan, snapshot=ProgressSnapshot("GPUs", 4, 4, time.monotonic() + 1e5, 1.0, 250.0))
    for cell in plan.cells[:50]:
        finish(view, cell)
    for cell in plan.cells[90:94]:
        view.started(cell, 1)
    shown = drawn(view, 80, 24)
    assert len(shown) <= 23
    assert max(len(line) for line in shown) <= 80
    together = "\n".join(shown)
    for cell in plan.cells[90:94]:
        assert cell.name in together
        assert any(line.split()[:2] == [cell.architecture, cell.scenario] and "…" in line for line in shown)
    assert "250.00 spent" in " ".join(together.split())
    [rest] = [line for line in shown if "more" in line]
    assert "waiting" in rest
    larger = drawn(view, 80, 60)
    assert sum(line.startswith(("vgg19", "resnet", "regnet", "vit")) for line in larger) == 24


def test_folds_that_do_not_fit_are_counted(planned: Any, document: dict[str, Any]) -> None:
    plan = big_study(planned, document, 12)
    view = view_of(plan)
    first, second, third = (cell for cell in plan.cells[:3])
    finish(view, first, 0.5)
    view.started(second, 1)
    view.started(third, 1)
    view.failed(third, "E", again=False, blocked=[])
    shown = drawn(view, 80)
    assert max(len(line) for line in shown) <= 80
    assert shown[0].split() == ["architecture", "scenario", "done", "running", "failed", "best"]
    assert shown[1].split() == ["vgg19_bn", "Random", "1/12", "1", "1", "0.500"]


def test_long_names_are_cut_and_scores_are_not(planned: Any, document: dict[str, Any]) -> None:
    document["scenarios"] = {"A scenario with a name that goes on and on and on": {}}
    document["architectures"] = {"a_network_with_a_name_of_one_s_own": {"model": "timm/test_resnet"}}
    document["axes"]["architecture"] = ["a_network_with_a_name_of_one_s_own"]
    plan = planned(document)
    view = view_of(plan)
    for cell in plan.cells[:2]:
        finish(view, cell, 0.75)
    shown = drawn(view, 60)
    assert max(len(line) for line in shown) <= 60
    assert "0.750" in shown[1]
    assert "…" in shown[1]


def test_only_so_many_running_stages_are_listed(planned: Any, document: dict[str, Any]) -> None:
    plan = big_study(planned, document, 5)
    view = view_of(plan)
    for cell in plan.cells[:64]:
        view.started(cell, 1)
    shown = drawn(view, 80, 24)
    assert len(shown) <= 23
    assert any("and 56 more are running" in line for line in shown)


def test_the_matrix_as_it_goes(view: LiveView, plan: Plan) -> None:
    assert sum(line.count("·") for line in drawn(view)) == 4
    assert not any("0 s" in line and "finetune" in line for line in drawn(view))
    one, two = cells(plan, "Random", 1)
    view.started(one, 1)
    assert sum("…" in line for line in drawn(view)) == 1
    finish(view, two, 0.75)
    assert any("0.750…" in line for line in drawn(view))
    finish(view, one, 0.5)
    [row] = [line for line in drawn(view) if "Random" in line]
    assert row.split() == ["tiny", "Random", "·", "0.750"]

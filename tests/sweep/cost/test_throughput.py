"""Work from FLOPs, and time from what was measured."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sweep.cost.throughput import RunThroughput
from sweep.cost.work import stage_work
from sweep.plan.plan import Plan
from trainables.models.complexity import known

PLAN = "scenarios={Random: {}}"


def test_cost_is_images_times_epochs_times_three_forward_passes(grid_text: str, planned: Callable[..., Plan]) -> None:
    gflops = known()["torchvision/resnet18"].gflops
    assert gflops is not None
    assert gflops == pytest.approx(1.82, rel=0.02), "the published number of multiply-adds at 224 pixels"
    at = {}
    for edge in (112, 224):
        plan = planned(grid_text, PLAN, "axes.architecture=[resnet18]", f"recipe.image_size={edge}")
        stage = plan.cells[0]
        at[edge] = stage_work(stage, {str(stage.split): 100})
        assert stage_work(stage, {}) == pytest.approx(at[edge] / 100), "without the data only ratios count"
    assert at[224] == pytest.approx(3 * gflops * 100 * 3)
    assert at[224] == pytest.approx(4 * at[112])


def test_an_architecture_of_ones_own_still_has_a_cost(grid_text: str, planned: Callable[..., Plan]) -> None:
    stage = planned(grid_text, PLAN, "axes.architecture=['my.module:Net']").cells[0]
    assert stage_work(stage, {str(stage.split): 10}) > 0


def test_a_clock_knows_nothing_before_something_was_measured() -> None:
    assert RunThroughput().seconds("a", 5.0) is None


def test_a_clock_keeps_a_rate_for_each_architecture_and_the_mean_for_others() -> None:
    clock = RunThroughput()
    clock.add("a", 10.0, 5.0)
    clock.add("a", 30.0, 5.0)
    clock.add("b", 10.0, 40.0)
    assert clock.seconds("a", 8.0) == pytest.approx(2.0)
    assert clock.seconds("b", 1.0) == pytest.approx(4.0)
    assert clock.seconds("never seen", 1.0) == pytest.approx(1.0)
    assert clock.seconds("a", 0.0) == 0.0


def test_asking_a_clock_teaches_it_nothing() -> None:
    clock = RunThroughput()
    clock.add("a", 1.0, 1.0)
    clock.seconds("b", 1.0)
    clock.add("b", 1.0, 3.0)
    assert clock.seconds("b", 1.0) == pytest.approx(3.0)

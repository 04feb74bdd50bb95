"""What a cluster offers to stages: its workers, now and when it has grown, and what they cost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sweep.commands.cluster_shape import ClusterShape
from sweep.cost.prices import load_prices
from sweep.engine.ray_session import ClusterResources
from sweep.engine.run_limits import RunLimits
from sweep.plan.plan import Plan
from trainables.errors import UserError
from trainables.runtime import Workers

CPUS = ClusterResources(((8, 0), (4, 0)))
GPUS = ClusterResources(((16, 2),), ("A10G",))


def shape(now: ClusterResources, limit: ClusterResources = ClusterResources(()), threads: int = 1) -> ClusterShape:  # noqa: B008
    return ClusterShape.of(lambda: now, limit, threads)


@pytest.mark.parametrize(
    ("made", "worker", "slots", "devices"),
    [
        (shape(CPUS), Workers(1, 1.0), 12, ("cpu",)),
        (shape(CPUS, threads=3), Workers(1, 3.0), 3, ("cpu",)),
        (shape(GPUS, threads=3), Workers(1, 3.0, 1.0), 2, ("A10G",)),
        (shape(CPUS, ClusterResources(((0, 0), (16, 4)), ("A10G",))), Workers(1, 1.0, 1.0), 4, ("A10G",)),
    ],
    ids=["a slot a CPU", "a slot three CPUs", "a slot a GPU", "only the grown cluster has GPUs"],
)
def test_slots_are_those_of_the_cluster_when_it_has_grown(
    made: ClusterShape, worker: Workers, slots: int, devices: tuple[str, ...]
) -> None:
    assert (made.worker, made.slots, made.devices) == (worker, slots, devices)


def test_a_stage_has_one_worker_on_cpus_and_up_to_all_on_gpus(planned: Callable[..., Plan], grid_text: str) -> None:
    stages = planned(grid_text).stages
    costs = {str(stage.key): 1.0 for stage in stages}

    def widest(made: ClusterShape, most: int | None = None) -> set[int]:
        return {task.max_workers for task in made.tasks(stages, costs, most)}

    assert widest(shape(CPUS)) == {1}
    assert widest(shape(GPUS)) == {2}
    assert widest(shape(GPUS), 1) == {1}


def test_a_stage_that_the_cluster_can_never_run_is_an_error(planned: Callable[..., Plan], grid_text: str) -> None:
    stages = planned(grid_text, "recipe.threads=9").stages
    costs: dict[str, Any] = {str(stage.key): 1.0 for stage in stages}
    with pytest.raises(UserError, match="9 stages are wider than the cluster: each needs 9 CPUs"):
        shape(CPUS, threads=9).tasks(stages, costs, None)


def test_the_price_is_the_one_given_or_that_of_the_table() -> None:
    prices = load_prices()
    assert shape(GPUS).priced(RunLimits(price=7.0), prices).price == 7.0
    assert shape(GPUS).priced(RunLimits(max_cost=1.0), prices).price == prices.find("a10g")[1].on_demand > 0


def test_money_cannot_be_limited_where_nothing_is_known_of_the_price() -> None:
    unknown = shape(ClusterResources(((8, 1),), ("XYZ9000",)))
    assert not unknown.priced(RunLimits(), load_prices()).price
    with pytest.raises(UserError, match="the price table has no price above 0 for XYZ9000: give --price"):
        unknown.priced(RunLimits(max_cost=1.0), load_prices())

"""What a cluster offers to a study: its workers, how many each stage may have, and what they cost."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from sweep.cost.prices import PriceTable
from sweep.engine.capacity import slots, too_wide_message, worker_shape
from sweep.engine.ray_session import ClusterResources
from sweep.engine.run_limits import RunLimits
from sweep.schedule.parallelism import max_workers as most_workers
from sweep.schedule.parallelism import unplaceable
from sweep.schedule.scheduler import Task
from trainables.errors import UserError
from trainables.runtime import Workers
from trainables.specs import Stage


@dataclass(frozen=True)
class ClusterShape:
    """What a cluster offers to stages.

    Attributes:
        capacity: returns what it has now.
        worker: CPUs and GPUs of one worker.
        slots: workers that it has room for, once it has grown as far as it may.
        devices: kinds of its devices.
    """

    capacity: Callable[[], ClusterResources]
    worker: Workers
    slots: int
    devices: tuple[str, ...]

    @classmethod
    def of(cls, capacity: Callable[[], ClusterResources], limit: ClusterResources, threads: int) -> ClusterShape:
        """Return the shape of a cluster.

        Args:
            capacity: returns what it has now.
            limit: what its autoscaler may make of it; without one, nothing.
            threads: CPU threads of a worker.
        """
        now = capacity()
        worker = worker_shape(now + limit, threads)
        return cls(capacity, worker, max(slots(now, worker), slots(limit, worker)), (now + limit).devices)

    def tasks(self, stages: Sequence[Stage], costs: Mapping[str, float], max_workers: int | None) -> list[Task]:
        """Return stages as the scheduler sees them.

        Args:
            stages: of the plan.
            costs: work of each, GFLOP, by key.
            max_workers: of one stage; None: all GPUs, or one on CPUs, where a stage of one worker starts sooner.

        Raises:
            UserError: if a stage needs more workers than the cluster can have.
        """
        most = max_workers or (self.slots if self.worker.gpus else 1)
        numbers = (1 if stage.kind == "lr_range" else most_workers(stage.recipe, most) for stage in stages)
        tasks = [
            Task(str(stage.key), stage.upstream, costs[str(stage.key)], number)
            for stage, number in zip(stages, numbers, strict=True)
        ]
        if impossible := unplaceable(tasks, self.slots):
            raise UserError(too_wide_message(len(impossible), self.worker))
        return tasks

    def priced(self, limits: RunLimits, prices: PriceTable) -> RunLimits:
        """Return the limits of a run with the price of a worker: the one given, or that of the price table.

        Args:
            limits: of the run.
            prices: of devices.

        Raises:
            UserError: if money is limited and no price is known.
        """
        price = limits.price or prices.price(self.devices)
        if not price and math.isfinite(limits.max_cost):
            raise UserError(
                f"--max-cost needs the price of a worker, and the price table has no price above 0 for "
                f"{', '.join(self.devices) or 'this cluster'}: give --price, e.g. --price 1.0 for a GPU-hour, or --prices FILE"
            )
        return replace(limits, price=price)

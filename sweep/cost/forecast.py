"""What a plan will take: GPU-hours or CPU worker-hours, wall time, money and disk. Pure: from stages, their states and estimates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sweep.cost.prices import DevicePrice
from sweep.cost.throughput import Estimator
from sweep.schedule.graph import Graph, Task
from sweep.schedule.parallelism import EXPONENT, max_workers
from sweep.schedule.simulator import simulate
from trainables.models.complexity import known
from trainables.specs import Recipe, Stage
from trainables.training.optimizers.base import OptimizerSpec, optimizers

if TYPE_CHECKING:
    from sweep.grid.schema import GridFile

FLOAT_BYTES = 4
HOUR = 3600.0
START_SECONDS = 8.0
"""Of a command, before its first stage and after its last: imports, Ray, trial processes (docs/performance.md). What
preparing data takes is not in it."""


@dataclass(frozen=True)
class Machines:
    """On what a plan is to run.

    Attributes:
        estimator: turns work into seconds.
        device: the kind of device, with its price.
        slots: GPUs (or groups of CPU threads) of the cluster, declared or running.
    """

    estimator: Estimator
    device: DevicePrice
    slots: int


@dataclass(frozen=True)
class Disk:
    """Bytes of the weights that are kept, the checkpoints of running stages, and the packed images (None: unknown)."""

    weights: int
    checkpoints: int
    images: int | None


@dataclass(frozen=True)
class Forecast:
    """Estimate of what remains of a plan.

    Attributes:
        gflop: key (or name) -> work of each stage.
        seconds: key (or name) -> seconds of each stage on one slot.
        to_do: seconds on one slot of all stages that are not done.
        whole: seconds on one slot of all stages.
        unshared: the same, if each cell trained its own upstream stages.
        slots: of the cluster.
        wall: seconds until all stages are done on it, ``START_SECONDS`` included if there are any.
        slot_seconds: slots × seconds in use; more than ``to_do``, because several workers scale worse than linearly.
        busy: share of the cluster's time in use, 0 to 1.
        chain: seconds on one slot of the longest chain that remains, and the keys (or names) of its stages.
        measured: architectures with stages to do whose throughput was measured.
        assumed: those whose throughput comes from FLOPs and an assumed utilisation.
        device: the kind of device, with its price.
        disk: bytes.
    """

    gflop: Mapping[str, float]
    seconds: Mapping[str, float]
    to_do: float
    whole: float
    unshared: float
    slots: int
    wall: float
    slot_seconds: float
    busy: float
    chain: tuple[float, tuple[str, ...]]
    measured: tuple[str, ...]
    assumed: tuple[str, ...]
    device: DevicePrice
    disk: Disk

    @property
    def unit(self) -> str:
        """What an hour of a slot is called: a slot is a GPU, or the threads of a worker on a CPU."""
        return "CPU worker-hours" if self.device.is_cpu else "GPU-hours"

    def money(self, spot: bool = False) -> float:
        """Return the price of ``slot_seconds``, on demand or as spot instances: idle slots are taken to be given back."""
        return self.slot_seconds / HOUR * (self.device.spot if spot else self.device.on_demand)

    def row(self, name: str) -> dict[str, float]:
        """Return the estimates of one stage for ``--plan --json``."""
        seconds = self.seconds[name]
        return {"gflop": self.gflop[name], "seconds": seconds, **self._hours("", seconds)}

    def _hours(self, suffix: str, seconds: float) -> dict[str, float]:
        name = "cpu_worker_hours" if self.device.is_cpu else "gpu_hours"
        return {name + suffix: seconds / HOUR}

    def document(self) -> dict[str, Any]:
        """Return the totals as plain values."""
        return {
            "cpu_workers" if self.device.is_cpu else "gpus": self.slots,
            **self._hours("", self.slot_seconds),
            **self._hours("_unshared", self.unshared),
            "wall_seconds": self.wall,
            "busy": self.busy,
            "cost_on_demand": self.money(),
            "cost_spot": self.money(spot=True),
            "longest_chain": {"seconds": self.chain[0], "stages": list(self.chain[1])},
            "disk_bytes": {
                "weights": self.disk.weights,
                "checkpoints": self.disk.checkpoints,
                "images": self.disk.images,
            },
            "measured": not self.assumed,
            "speeds": {"measured": list(self.measured), "from_flops": list(self.assumed)},
            "widening_exponent": EXPONENT,
        }


def tasks_of(stages: Sequence[Stage], costs: Mapping[str, float], slots: int, ddp: bool = True) -> list[Task]:
    """Return the stages as the scheduler sees them.

    Args:
        stages: of a plan.
        costs: key (or name) -> work or seconds on one worker.
        slots: of the cluster.
        ddp: whether a stage may have several workers: on GPUs; batch norm over several CPU workers is refused.
    """
    return [
        Task(s.identifier, s.upstream, costs[s.identifier], max_workers(s.recipe, slots) if ddp else 1) for s in stages
    ]


def forecast(
    stages: Sequence[Stage],
    file: GridFile,
    gflop: Mapping[str, float],
    done: frozenset[str],
    machines: Machines,
    images: int | None,
) -> Forecast:
    """Estimate what remains of a plan.

    Args:
        stages: all stages of the plan.
        file: the grid, for the weights that are kept.
        gflop: key (or name) -> work of each stage.
        done: keys of the stages that are done.
        machines: on which it is to run.
        images: bytes of the packed images; None: unknown.
    """
    estimator, device, slots = machines.estimator, machines.device, machines.slots
    seconds = {stage.identifier: estimator.seconds(stage, gflop[stage.identifier]) for stage in stages}
    tasks = tasks_of(stages, seconds, slots, ddp=not device.is_cpu)
    graph = Graph(_without(tasks, done))
    run = simulate(graph, slots)
    chain, names = graph.longest_chain()
    kinds = {(s.architecture, id(s.recipe)): s for s in stages if s.identifier not in done}  # a few, of thousands
    assumed = dict.fromkeys(stage.architecture for stage in kinds.values() if not estimator.is_measured(stage))
    measured = dict.fromkeys(name for name, _ in kinds if name not in assumed)
    return Forecast(
        gflop=gflop,
        seconds=seconds,
        to_do=sum(task.cost for task in tasks if task.key not in done),
        whole=sum(seconds.values()),
        unshared=_unshared(stages, seconds),
        slots=slots,
        wall=run.makespan + (START_SECONDS if run.makespan else 0.0),
        slot_seconds=run.slot_time,
        busy=run.busy,
        chain=(chain, tuple(names)),
        measured=tuple(measured),
        assumed=tuple(assumed),
        device=device,
        disk=disk(stages, file, slots, images),
    )


def _without(tasks: list[Task], done: frozenset[str]) -> list[Task]:
    if not done:
        return tasks
    left = [task for task in tasks if task.key not in done]
    return [
        Task(t.key, tuple(up for up in t.upstream if up not in done), t.cost, t.max_workers, t.min_workers)
        for t in left
    ]


def _unshared(stages: Sequence[Stage], seconds: Mapping[str, float]) -> float:
    """Seconds on one slot if each cell trained its own upstream stages."""
    chain: dict[str, float] = {}
    for stage in stages:  # upstream before downstream
        name = stage.identifier
        chain[name] = seconds[name] + sum(chain[up] for up in stage.upstream)
    return sum(chain[stage.identifier] for stage in stages if stage.kind == "finetune")


def disk(stages: Sequence[Stage], file: GridFile, slots: int, images: int | None) -> Disk:
    """Estimate the disk that a study takes.

    Args:
        stages: all stages of the plan.
        file: the grid, for the weights that are kept.
        slots: of the cluster: as many checkpoints exist at once, of the largest stages at worst.
        images: bytes of the packed images; None: unknown.
    """
    keeping = {"pretrain", "finetune"} if file.keep_weights == "all" else {"pretrain"}
    sizes = [(stage, _weight_bytes(stage)) for stage in stages if stage.kind != "lr_range"]
    checkpoints = sorted((size * _copies(stage.recipe) for stage, size in sizes), reverse=True)[:slots]
    return Disk(sum(size for stage, size in sizes if stage.kind in keeping), sum(checkpoints), images)


def _weight_bytes(stage: Stage) -> int:
    row = known().get(stage.model.model)
    return FLOAT_BYTES * row.parameters if row is not None else 0


def _copies(recipe: Recipe) -> int:
    """Copies of the weights in a checkpoint: current, best so far, and the optimizer's state."""
    own = optimizers.own().get(recipe.optimizer, OptimizerSpec)
    return 2 + own.state_copies

"""The options of ``sweep.run``, typed and checked. Nothing beyond this module sees the parsed command line."""

from __future__ import annotations

import math
import os
import re
from argparse import Namespace
from dataclasses import dataclass, field
from pathlib import Path

from sweep.engine.run_limits import RunLimits
from sweep.mirror.mode import MirrorOptions
from sweep.mirror.settings import refuse_bad_names
from trainables.errors import UserError

MIN_HANG_TIMEOUT = 15.0
"""Seconds. A stage reports progress every 5 s, and a step or a batch may take longer."""
UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
"""Unit of a duration -> seconds."""


@dataclass(frozen=True)
class InputOptions:
    """Where the inputs are.

    Attributes:
        data: folder of the data sets.
        weights: folder of initial weights; None: only the download caches of torchvision and timm.
    """

    data: Path = Path("data")
    weights: Path | None = None

    def absolute(self) -> dict[str, str | None]:
        """Return the options with absolute paths, by name, so that a later command can repeat them."""
        return {"data": str(self.data.absolute()), "weights": str(self.weights.absolute()) if self.weights else None}


@dataclass(frozen=True)
class PlanOptions:
    """What ``--plan`` prints.

    Attributes:
        show: whether to print the plan and start nothing.
        as_json: whether to print JSON.
        why: two stages whose differences are printed instead, by name or beginning of the key.
        device: kind of device that the estimates are for, as in the price table.
        gpus: number of devices; None: the CPU cores of this machine, or one GPU.
    """

    show: bool = False
    as_json: bool = False
    why: tuple[str, str] | None = None
    device: str = "cpu"
    gpus: int | None = None

    @property
    def is_this_machine(self) -> bool:
        """Whether the estimates are for this machine."""
        return self.gpus is None and self.device == "cpu"

    @property
    def slots(self) -> int:
        """Number of workers that the estimates are for."""
        return self.gpus or (len(os.sched_getaffinity(0)) if self.device == "cpu" else 1)


@dataclass(frozen=True)
class ClusterOptions:
    """The Ray cluster.

    Attributes:
        address: of a running cluster; None: start one on this machine.
        file: cluster file that says what the cluster may grow to; None: the one that ``ray up`` left on the head.
    """

    address: str | None = None
    file: str | None = None


@dataclass(frozen=True)
class RunOptions:
    """The options of one run.

    Attributes:
        grid: name of an embedded grid, or path of a YAML file.
        settings: ``section.key=value`` changes of the grid.
        rehearse: whether every stage takes a handful of images and steps.
        study: name of the study; None: the grid's.
        storage: folder or URI of the studies.
        reuse: a study whose finished stages are taken over.
        cell: the one stage to run, by name or beginning of its key; None: all.
        prices: a price table of the user's own.
        inputs: where data and weights are.
        plan: what ``--plan`` prints.
        cluster: where to run.
        limits: time, money and workers.
        mirror: of Weights & Biases.
    """

    grid: str
    settings: tuple[str, ...] = ()
    rehearse: bool = False
    study: str | None = None
    storage: str = "studies"
    reuse: str | None = None
    cell: str | None = None
    prices: Path | None = None
    inputs: InputOptions = InputOptions()
    plan: PlanOptions = PlanOptions()
    cluster: ClusterOptions = ClusterOptions()
    limits: RunLimits = field(default_factory=RunLimits)
    mirror: MirrorOptions = field(default_factory=MirrorOptions)

    @property
    def starts_ray(self) -> bool:
        """Whether Ray is started on this machine: not for a plan, for one stage, or with a cluster that runs."""
        return not (self.plan.show or self.plan.why or self.cell or self.cluster.address)


def run_options(given: Namespace) -> RunOptions:
    """Return the options of a command line.

    Args:
        given: as the parser of ``sweep.run`` returns it.

    Raises:
        UserError: with every duration and number that is not valid, or every name that W&B does not take.
    """
    if given.wandb != "off":
        refuse_bad_names(given.wandb_project, given.wandb_entity)
    return RunOptions(
        grid=given.grid,
        settings=tuple(given.set),
        rehearse=given.rehearse,
        study=given.study,
        storage=given.storage,
        reuse=given.reuse,
        cell=given.cell,
        prices=_path(given.prices),
        inputs=InputOptions(Path(given.data), _path(given.weights)),
        plan=PlanOptions(given.plan, given.json, given.why and tuple(given.why), given.device, given.gpus),
        cluster=ClusterOptions(given.address, given.cluster),
        limits=_limits(given),
        mirror=MirrorOptions(given.wandb, given.wandb_project, given.wandb_entity, given.wandb_images),
    )


def _path(given: str | None) -> Path | None:
    return Path(given) if given else None


def _limits(given: Namespace) -> RunLimits:
    faults = [
        f"--{name.replace('_', '-')} must be above 0, found {value:g}"
        for name in ("max_cost", "price", "widest", "gpus")
        if (value := getattr(given, name)) is not None and value <= 0
    ]
    seconds = {}
    for name in ("deadline", "checkpoint", "hang_timeout"):
        if (text := getattr(given, name)) is None:
            continue
        if (duration := parse_duration(text)) is None:
            option = f"--{name.replace('_', '-')}"
            faults.append(f"{option} {text}: give seconds, or a number with m, h or d: 45m, 12h, 2d")
        else:
            seconds[name] = duration
    if seconds.get("hang_timeout", math.inf) < MIN_HANG_TIMEOUT:
        faults.append(
            f"--hang-timeout {given.hang_timeout}: at least {MIN_HANG_TIMEOUT:g} s, for a stage reports progress every "
            "5 s, and a step or a batch may take longer"
        )
    if faults:
        raise UserError(faults)
    return RunLimits(
        fail_fast=given.fail_fast,
        deadline=seconds.get("deadline", math.inf),
        max_cost=math.inf if given.max_cost is None else given.max_cost,
        price=given.price,
        hang_timeout=seconds["hang_timeout"],
        widest=given.widest,
        checkpoint=seconds["checkpoint"],
        allow_open=given.allow_open_cluster,
    )


def parse_duration(text: str) -> float | None:
    """Return a duration in seconds: ``90``, ``45m``, ``12h``, ``2d``; None if the text is not one."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", text)
    return float(match[1]) * UNITS[match[2]] if match else None

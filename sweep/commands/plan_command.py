"""What ``--plan`` prints: the plan with its states and estimates, for people or for programs. Starts nothing."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Any

from sweep.cost.estimator import MeasuredThroughput
from sweep.cost.forecast import Forecast, forecast
from sweep.cost.prices import PriceTable
from sweep.monitor.console import Terminal
from sweep.monitor.plan_view import plan_tables
from sweep.plan.inputs import Inputs
from sweep.plan.plan import Plan, summary
from sweep.plan.reconcile import reconcile, stale
from trainables.hashing import short_key
from trainables.store.study import Study


@dataclass(frozen=True)
class AssumedCluster:
    """The cluster that the estimates are for.

    Attributes:
        device: its kind, as in the price table.
        gpus: how many; None: the CPU cores of this machine, or one GPU.
        prices: of all devices.
        speeds: what earlier runs measured.
    """

    device: str
    gpus: int | None
    prices: PriceTable
    speeds: MeasuredThroughput

    @property
    def is_here(self) -> bool:
        """Whether it is this machine."""
        return self.gpus is None and self.device == "cpu"

    @property
    def slots(self) -> int:
        """How many workers there would be."""
        return self.gpus or (len(os.sched_getaffinity(0)) if self.device == "cpu" else 1)


def show_plan(
    terminal: Terminal, plan: Plan, study: Study, name: str, inputs: Inputs, assumed: AssumedCluster, as_json: bool
) -> None:
    """Print a plan. Raises UserError where there is no such device."""
    states = _states(plan, study)
    done = frozenset(key for key, state in states.items() if state == "done")
    expected = _forecast(plan, inputs, assumed, done)
    if not as_json:
        rows = [{"kind": s.kind, "state": states.get(s.identifier, "waiting")} for s in plan.stages]
        for table in plan_tables(plan, rows, inputs, expected, assumed.prices):
            terminal.show(table)
        return
    stages: list[dict[str, Any]] = [
        {**summary(s), "state": states.get(s.identifier, "waiting"), **expected.row(s.identifier)} for s in plan.stages
    ]
    left_alone = reconcile(plan, [folder.name for folder in study.folders()]).left_alone
    more = {"missing": inputs.missing, "unshared": plan.unshared, "left_alone": left_alone}
    document = {**plan.document(name, inputs), **more, "forecast": expected.document(), "stages": stages}
    terminal.raw(json.dumps(document, indent=1))


def _states(plan: Plan, study: Study) -> dict[str, str]:
    """The state of each stage that was begun, by key."""
    by_short_key = study.states()
    known = {str(s.key): by_short_key[short_key(s.key)] for s in plan.stages if short_key(s.key) in by_short_key}
    return known | dict.fromkeys(stale(plan.stages, study.committed(plan.stages)), "stale")


def _forecast(plan: Plan, inputs: Inputs, assumed: AssumedCluster, done: frozenset[str]) -> Forecast:
    device = assumed.prices.find(assumed.device)[1]
    estimator = assumed.prices.estimator(assumed.device, assumed.speeds)
    gflop = inputs.costs(plan.stages, plan.grid.file)
    return forecast(
        plan.stages,
        plan.grid.file,
        gflop,
        done,
        estimator,
        device,
        assumed.slots,
        inputs.packed_bytes(plan.grid.data_specs),
    )

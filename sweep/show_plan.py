"""What ``--plan`` prints: the plan with its states and estimates, for people or for programs. Starts nothing."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweep.forecast import Forecast, forecast
from sweep.inputs import Inputs
from sweep.plan import Plan, identifier, summary
from sweep.prices import PriceTable, load_prices
from sweep.printing import plan_tables
from sweep.reconcile import reconcile, stale
from sweep.terminal import Terminal
from trainables.study import Study


@dataclass(frozen=True)
class Assumed:
    """The cluster that the estimates are for.

    Attributes:
        device: its kind, as in the price table.
        gpus: how many; None: the CPU cores of this machine, or one GPU.
        prices: a price table of one's own.
    """

    device: str = "cpu"
    gpus: int | None = None
    prices: str | None = None

    @property
    def slots(self) -> int:
        """How many workers there would be."""
        return self.gpus or (len(os.sched_getaffinity(0)) if self.device == "cpu" else 1)


def show_plan(
    terminal: Terminal, plan: Plan, study: Study, name: str, inputs: Inputs, assumed: Assumed, as_json: bool
) -> None:
    """Print a plan. Raises UserError where the device or the price table is none."""
    states = _states(plan, study)
    prices = load_prices(Path(assumed.prices) if assumed.prices else None)
    done = frozenset(key for key, state in states.items() if state == "done")
    expected = _forecast(plan, inputs, prices, assumed, done)
    rows: list[dict[str, Any]] = [
        {**summary(s), "state": states.get(identifier(s), "waiting"), **expected.row(identifier(s))}
        for s in plan.stages
    ]
    if not as_json:
        for table in plan_tables(plan, rows, inputs.missing, expected, prices):
            terminal.show(table)
        return
    left_alone = reconcile(plan, [folder.name for folder in study.folders()]).left_alone
    more = {"missing": inputs.missing, "unshared": plan.unshared, "left_alone": left_alone}
    document = {**plan.document(name, inputs), **more, "forecast": expected.document(), "stages": rows}
    terminal.raw(json.dumps(document, indent=1))


def _states(plan: Plan, study: Study) -> dict[str, str]:
    """The state of each stage that was begun, by key."""
    by_short_key = study.states()
    known = {str(s.key): by_short_key[str(s.key)[:16]] for s in plan.stages if str(s.key)[:16] in by_short_key}
    return known | dict.fromkeys(stale(plan.stages, study.committed(plan.stages)), "stale")


def _forecast(plan: Plan, inputs: Inputs, prices: PriceTable, assumed: Assumed, done: frozenset[str]) -> Forecast:
    device = prices.find(assumed.device)[1]
    gflop = inputs.costs(plan.stages, plan.grid.file)
    return forecast(plan.stages, plan.grid.file, gflop, done, prices.estimator(assumed.device), device, assumed.slots)

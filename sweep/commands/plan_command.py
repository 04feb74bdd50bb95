"""What ``--plan`` prints: the plan with its states and estimates, for people or for programs. Starts nothing."""

from __future__ import annotations

import json
from typing import Any

from sweep.commands.preparation import PreparedStudy
from sweep.commands.run_options import PlanOptions, RunOptions
from sweep.cost.forecast import Forecast, Machines, forecast
from sweep.cost.prices import PriceTable
from sweep.cost.throughput_file import SPEEDS, read_speeds
from sweep.monitor.console import Terminal
from sweep.monitor.plan_view import plan_tables
from sweep.plan.plan import Plan, summary
from sweep.plan.reconcile import reconcile, stale
from trainables.hashing import short_key
from trainables.store.study import Study


def show_plan(prepared: PreparedStudy, options: RunOptions, prices: PriceTable, terminal: Terminal) -> None:
    """Print a plan as tables or as JSON.

    Args:
        prepared: the study and its plan.
        options: of the command.
        prices: of devices.
        terminal: where to print it.

    Raises:
        UserError: if the price table has no such device.
    """
    plan, assumed = prepared.plan, options.plan
    states = _states(plan, prepared.study)
    done = frozenset(key for key, state in states.items() if state == "done")
    expected = _forecast(prepared, assumed, prices, done)
    if assumed.as_json:
        terminal.raw(json.dumps(_document(prepared, states, expected), indent=1))
        return
    rows = [{"kind": s.kind, "state": states.get(s.identifier, "waiting")} for s in plan.stages]
    for table in plan_tables(plan, rows, prepared.inputs, expected, prices):
        terminal.show(table)
    if assumed.is_this_machine and not options.cluster.address and (why := prepared.too_wide):
        terminal.say(f"\nnot on this machine: {why}")


def _document(prepared: PreparedStudy, states: dict[str, str], expected: Forecast) -> dict[str, Any]:
    plan, inputs = prepared.plan, prepared.inputs
    left_alone = reconcile(plan, [folder.name for folder in prepared.study.folders()]).left_alone
    return {
        **plan.document(prepared.name, inputs),
        "missing": inputs.missing,
        "unshared": plan.unshared,
        "left_alone": left_alone,
        "forecast": expected.document(),
        "stages": [
            {**summary(s), "state": states.get(s.identifier, "waiting"), **expected.row(s.identifier)}
            for s in plan.stages
        ],
    }


def _states(plan: Plan, study: Study) -> dict[str, str]:
    """Return the state of each stage that was begun, by key."""
    by_short_key = study.states()
    known = {str(s.key): by_short_key[short_key(s.key)] for s in plan.stages if short_key(s.key) in by_short_key}
    return known | dict.fromkeys(stale(plan.stages, study.committed(plan.stages)), "stale")


def _forecast(prepared: PreparedStudy, assumed: PlanOptions, prices: PriceTable, done: frozenset[str]) -> Forecast:
    plan, inputs = prepared.plan, prepared.inputs
    estimator = prices.estimator(assumed.device, read_speeds(prepared.cache / SPEEDS))
    machines = Machines(estimator, prices.find(assumed.device)[1], assumed.slots)
    gflop, images = inputs.costs(plan.stages, plan.grid.file), inputs.packed_bytes(plan.grid.data_specs)
    return forecast(plan.stages, plan.grid.file, gflop, done, machines, images)

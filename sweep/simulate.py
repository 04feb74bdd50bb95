"""``python -m sweep.simulate --grid NAME|FILE --gpus 1,4,16``: makespans of a grid, compared with simpler schedules."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import RenderableType
from rich.table import Table

from sweep.cost.forecast import tasks_of
from sweep.cost.prices import load_prices
from sweep.cost.work import stage_work, train_images
from sweep.grid.loader import load_grid
from sweep.monitor.console import Terminal
from sweep.plan.inputs import Inputs
from sweep.plan.plan import make_plan
from sweep.schedule.graph import Task
from sweep.schedule.parallelism import EXPONENT, LEAST_SHARE
from sweep.schedule.simulator import SimulatedRun, lower_bound, simulate, with_barriers, with_fewest_workers
from trainables.errors import UserError
from trainables.streams import steady_streams


@dataclass(frozen=True)
class MakespanRow:
    """Makespans on one number of slots, in the unit of the tasks' costs.

    Attributes:
        slots: of the cluster.
        bound: no schedule can be faster.
        run: the simulated run of the project's schedule.
        narrow: makespan with one slot a stage.
        first_come: the same, in order of arrival.
        barriers: the same, with a barrier between the phases.
    """

    slots: int
    bound: float
    run: SimulatedRun
    narrow: float
    first_come: float
    barriers: float

    def over(self, makespan: float) -> float:
        """Return a makespan as a multiple of the bound."""
        return makespan / self.bound if self.bound else 1.0


def compare(tasks: Sequence[Task], slots: int) -> MakespanRow:
    """Simulate the schedule and three simpler ones.

    Args:
        tasks: of the plan.
        slots: of the cluster.
    """
    narrow = with_fewest_workers(tasks)
    return MakespanRow(
        slots,
        lower_bound(tasks, slots),
        simulate(tasks, slots),
        simulate(narrow, slots).makespan,
        simulate(narrow, slots, policy="first come").makespan,
        simulate(with_barriers(narrow), slots, policy="first come").makespan,
    )


def grid_tasks(name: str, settings: Sequence[str], device: str) -> list[Task]:
    """Return the stages of a grid with their seconds on one device. Data, weights and studies are not looked at.

    Args:
        name: of an embedded grid, or path of a file.
        settings: ``section.key=value`` changes of the grid.
        device: as in the price table.

    Raises:
        UserError: if the grid has faults, or the price table has no such device.
    """
    grid = load_grid(name, settings)
    plan = make_plan(grid, Inputs())
    estimator = load_prices().estimator(device)
    images = train_images(grid.file, {})
    seconds = {stage.identifier: estimator.seconds(stage, stage_work(stage, images)) for stage in plan.stages}
    return tasks_of(plan.stages, seconds, slots=1 << 30)


def table(rows: Sequence[MakespanRow]) -> RenderableType:
    """Return the comparison as a table: hours, and multiples of the bound."""
    shown = Table("GPUs", "bound", "makespan", "× bound", "busy", "one GPU each", "first come", "barriers", box=None)
    for row in rows:
        others = (row.narrow, row.first_come, row.barriers)
        hours = (f"{value / 3600:,.1f} h" for value in (row.bound, row.run.makespan))
        multiples = (f"{row.over(value):.3f}" for value in others)
        shown.add_row(str(row.slots), *hours, f"{row.over(row.run.makespan):.3f}", f"{row.run.busy:.1%}", *multiples)
    return shown


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: its arguments; None: those of this process.

    Returns:
        The exit status.
    """
    p = argparse.ArgumentParser(prog="python -m sweep.simulate", description="Makespans of a grid in simulated time.")
    p.add_argument("--grid", default="full_study", metavar="NAME|FILE")
    p.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change the grid")
    p.add_argument("--gpus", default="1,4,16,64,256", metavar="N,N,…", help="sizes of the cluster")
    p.add_argument("--device", default="a100", help="a device of the price table; all rows scale with its speed")
    given = p.parse_args(argv)
    terminal = Terminal()
    try:
        sizes = [int(size) for size in given.gpus.split(",")]
        if min(sizes) < 1:
            raise ValueError(f"{min(sizes)} is not a number of GPUs")
        tasks = grid_tasks(given.grid, given.set, given.device)
    except ValueError as error:
        terminal.faults([f"--gpus {given.gpus}: {error}"])
        return 2
    except UserError as error:
        terminal.faults(error.faults)
        return 2
    terminal.show(table([compare(tasks, size) for size in sizes]))
    terminal.say(
        f"{len(tasks)} stages on {given.device}, hours from FLOPs and an assumed utilisation. A stage on w GPUs is assumed to "
        f"be w^{EXPONENT} times as fast; w is a power of two with at least {LEAST_SHARE} images of a batch on each GPU.\n"
        "bound: all work spread evenly, or the longest chain on the most GPUs. The last three columns, in multiples of it: "
        "one GPU a stage, longest chain first; in order of arrival; in order of arrival with a barrier between phases."
    )
    return 0


if __name__ == "__main__":
    steady_streams()
    sys.exit(main())

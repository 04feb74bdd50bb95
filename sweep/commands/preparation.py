"""What every run and every plan starts from: grid, study, inputs and stages."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sweep.commands.run_options import RunOptions
from sweep.commands.study_header import header_faults, load_for_study
from sweep.engine.capacity import too_wide_here
from sweep.grid.loader import read_grid
from sweep.grid.rehearsal import SUFFIX
from sweep.monitor.console import Terminal
from sweep.plan.begun_study import begun_study
from sweep.plan.inputs import Inputs, gather
from sweep.plan.network_checks import MEMORY, count_own_networks, look_at_weights
from sweep.plan.plan import Plan, make_plan
from trainables.errors import UserError
from trainables.store.storage import Storage, cache_folder
from trainables.store.study import Study


@dataclass(frozen=True)
class PreparedStudy:
    """A plan with its inputs and the study that it belongs to.

    Attributes:
        name: of the study, with the suffix of a rehearsal.
        study: its folder.
        cache: folder of prepared data and measured speeds, shared by the studies of a storage.
        inputs: data and weights: those at hand, and messages about those that are not.
        plan: the stages.
    """

    name: str
    study: Study
    cache: Path
    inputs: Inputs
    plan: Plan

    @property
    def too_wide(self) -> str | None:
        """Why stages can never run on this machine; None if they can."""
        return too_wide_here([stage.recipe.threads for stage in self.plan.stages])


def prepare(options: RunOptions, terminal: Terminal) -> PreparedStudy:
    """Load the grid, look for its inputs, prepare the data sets, and make the plan.

    Args:
        options: of the run.
        terminal: shows the progress of preparing data sets.

    Raises:
        UserError: if the grid has faults, or the study was begun with other target data or another split.
    """
    document = read_grid(options.grid, options.settings)
    name = _study_name(options, document.value.get("study"))
    storage = Storage(options.storage)
    study, cache = Study(storage.child(name)), cache_folder(storage)
    grid = replace(load_for_study(document, study), rehearsal=options.rehearse)
    with terminal.preparing() as progress, _rare_garbage_collection():
        unusable = count_own_networks(grid, cache / MEMORY)
        inputs = gather(grid, options.inputs.data, options.inputs.weights, cache, progress, begun_study(study))
        inputs.missing += unusable
        look_at_weights(inputs, cache / MEMORY)
        plan = make_plan(grid, inputs)
    for line in inputs.repaired:
        terminal.note(line)
    if faults := header_faults(study, grid, inputs):
        raise UserError([*faults, *inputs.missing])
    return PreparedStudy(name, study, cache, inputs, plan)


def _study_name(options: RunOptions, in_grid: Any) -> str:
    """Return the name of the study. What a grid gives that is no text, its schema refuses."""
    name = options.study or (in_grid if isinstance(in_grid, str) else "") or Path(options.grid).stem
    if "/" in name or "\\" in name or name.startswith(".") or not name.strip():
        raise UserError(f"{name!r} cannot name a study: it is one folder below --storage, without / and not hidden")
    return name + SUFFIX if options.rehearse else name


@contextmanager
def _rare_garbage_collection() -> Iterator[None]:
    """Collect garbage rarely within: hundreds of thousands of images and stages are made, and none is dropped."""
    before = gc.get_threshold()
    gc.set_threshold(100_000, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)

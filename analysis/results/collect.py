"""From the study folder to verified cells. What does not count is left out, and named with the reason."""

from __future__ import annotations

import math
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

from analysis.results.grid_file import GridNotes, read_grid_notes
from analysis.results.plan_file import PlanFile, PlannedStage, StudyHeader, explain, read_header, read_plan
from analysis.results.progress import State, StudyProgress
from analysis.results.split import StoredSplit, read_split
from analysis.results.verify import Cell, verify
from trainables.errors import StorageError
from trainables.hashing import short_key
from trainables.store import layout
from trainables.store.arrow import read_parquet
from trainables.store.selection import Selection, select
from trainables.store.study import Study

REMOTE_READERS = 8
"""Cells read at once from an object store, where the time goes into waiting. On a local disk one reader is
fastest: two took 1.5 times as long (120 cells of 62,000 images, 2 cores)."""


NO_GRID = GridNotes()


@dataclass(frozen=True)
class LeftOut:
    """A planned cell that does not count, and why."""

    planned: PlannedStage
    state: State
    reason: str

    @property
    def name(self) -> str:
        """Name of the stage."""
        return self.planned.name

    @property
    def key(self) -> str | None:
        """Key of the stage, or None where it is not known yet."""
        return self.planned.key


@dataclass(frozen=True)
class Collected:
    """All that the tables are made of.

    Attributes:
        cells: the verified cells, in the order of the plan.
        left_out: the other cells of the plan, in its order.
        problems: rows of ``data_problems.parquet``: data_set, image_id, what.
        grid: what the grid says of scenarios and rates.
        progress: the stages of the plan beside their folders.
    """

    header: StudyHeader
    plan: PlanFile
    split: StoredSplit
    cells: tuple[Cell, ...]
    left_out: tuple[LeftOut, ...]
    progress: StudyProgress
    problems: tuple[Mapping[str, str], ...] = ()
    grid: GridNotes = NO_GRID

    @cached_property
    def choices(self) -> tuple[Selection, ...]:
        """The rate chosen on val within each architecture, scenario, fold and seed."""
        return tuple(select(cell.candidate for cell in self.cells))

    @cached_property
    def chosen(self) -> tuple[Cell, ...]:
        """The cells whose test scores count."""
        of_candidate = {cell.candidate: cell for cell in self.cells}
        return tuple(of_candidate[choice.chosen] for choice in self.choices)


def collect(study: Study) -> Collected:
    """Read and verify all cells of the study's plan.

    Raises:
        UserError: if the folder has no readable ``study.json`` or ``plan.json``.
    """
    header, plan = read_header(study), read_plan(study)
    split = read_split(study, header.split)
    progress = StudyProgress.of(study, plan)

    def outcome(planned: PlannedStage) -> Cell | LeftOut:
        return _outcome(planned, progress, split, plan.classes)

    with ThreadPoolExecutor(1 if study.storage.is_local else REMOTE_READERS) as pool:
        outcomes = list(pool.map(outcome, plan.cells))
    cells = tuple(one for one in outcomes if isinstance(one, Cell))
    left_out = tuple(one for one in outcomes if isinstance(one, LeftOut))
    return Collected(header, plan, split, cells, left_out, progress, _problems(study), read_grid_notes(study))


def _outcome(
    planned: PlannedStage, progress: StudyProgress, split: StoredSplit, classes: tuple[str, ...]
) -> Cell | LeftOut:
    folder = progress.folder(planned.key)
    if folder is None or progress.state(planned) != "done":
        return LeftOut(planned, *progress.why_not_done(planned))
    try:
        cell = verify(planned, folder, split, classes)
        _refuse_other_rate(cell, progress)
        _refuse_stale(cell, progress)
    except StorageError:
        raise  # it says nothing of the result
    except (ValueError, OSError) as error:
        return LeftOut(planned, "refused", explain(error))
    return cell


def _refuse_other_rate(cell: Cell, progress: StudyProgress) -> None:
    # Where a range test found the rate, the specification cannot know it.
    found = any(upstream.kind == "lr_range" for upstream in progress.upstream(cell.planned))
    used, asked = cell.result.learning_rate, cell.stage.learning_rate
    if not found and (asked is None or not math.isclose(used, asked, rel_tol=1e-9)):
        raise ValueError(f"{layout.RESULT}: learning_rate is {used}, but the specification asks for {asked}")


def _refuse_stale(cell: Cell, progress: StudyProgress) -> None:
    for key, started_from in cell.result.upstream_digests.items():
        upstream = progress.folder(key)
        result = upstream.result() if upstream is not None else None
        now = (result or {}).get("digests", {}).get(layout.WEIGHTS, started_from)
        if now != started_from:
            raise ValueError(f"stale: upstream stage {short_key(key)} no longer has the weights it started from")


def _problems(study: Study) -> tuple[Mapping[str, str], ...]:
    try:
        return tuple(read_parquet(study.storage.read(layout.DATA_PROBLEMS)).to_pylist())
    except FileNotFoundError:
        return ()

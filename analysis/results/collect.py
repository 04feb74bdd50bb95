"""From the study folder to verified cells. A cell that does not count is left out, with the reason."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from analysis.results.grid_file import GridExcerpt, read_grid
from analysis.results.plan_file import PlanFile, PlannedStage, RowName, StudyHeader, one_line, read_header, read_plan
from analysis.results.progress import State, StudyProgress
from analysis.results.split import StoredSplit, read_split
from analysis.results.verify import Cell, verify
from trainables.errors import StorageError
from trainables.hashing import short_key
from trainables.store import layout
from trainables.store.arrow import read_parquet
from trainables.store.selection import Selection, select
from trainables.store.study import StageFolder, Study
from trainables.store.untrusted import MOST_TABLE

REMOTE_READERS = 8
"""Cells read in parallel from an object store, where latency dominates. On a local disk one reader is fastest: two took
1.5 times as long (120 cells of 62,000 images, 2 cores)."""
NO_GRID = GridExcerpt()


@dataclass(frozen=True)
class LeftOut:
    """A planned cell that does not count.

    Attributes:
        planned: the cell in the plan.
        state: category of the reason.
        reason: in words, for footnotes and the page.
    """

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
    """A study as read and verified: everything that tables and figures are made of.

    Attributes:
        header: ``study.json``.
        plan: ``plan.json``.
        split: the study's cross-validation.
        cells: the verified cells, in the order of the plan.
        left_out: the other cells of the plan, in its order.
        progress: states and folders of the planned stages.
        problems: rows of ``data_problems.parquet``: data_set, image_id, what.
        grid: scenarios and learning rates as ``grid.yaml`` declares them.
    """

    header: StudyHeader
    plan: PlanFile
    split: StoredSplit
    cells: tuple[Cell, ...]
    left_out: tuple[LeftOut, ...]
    progress: StudyProgress
    problems: tuple[Mapping[str, str], ...] = ()
    grid: GridExcerpt = NO_GRID

    @cached_property
    def choices(self) -> tuple[Selection, ...]:
        """The candidate chosen on val within each architecture, scenario, fold and seed."""
        return tuple(select(cell.candidate for cell in self.cells))

    @cached_property
    def chosen(self) -> tuple[Cell, ...]:
        """The cells whose test scores count: those of ``choices``."""
        of_candidate = {cell.candidate: cell for cell in self.cells}
        return tuple(of_candidate[choice.chosen] for choice in self.choices)

    @cached_property
    def chosen_by_row(self) -> Mapping[RowName, Sequence[Cell]]:
        """The chosen cells of each architecture × scenario that has one."""
        rows: dict[RowName, list[Cell]] = {}
        for cell in self.chosen:
            rows.setdefault(cell.planned.row, []).append(cell)
        return rows

    def finished(self, kind: str | None = None) -> Iterator[tuple[PlannedStage, StageFolder]]:
        """Yield the planned stages that have a result, of one kind or (None) of all kinds, each with its folder."""
        for stage in self.plan.stages:
            folder = self.progress.folder(stage.key)
            if kind in (None, stage.kind) and folder is not None and self.progress.state(stage) == "done":
                yield stage, folder


def collect(study: Study) -> Collected:
    """Read a study and verify all cells of its plan.

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
    return Collected(header, plan, split, cells, left_out, progress, _problems(study), read_grid(study))


def best_row(rows: Mapping[RowName, Sequence[Cell]]) -> RowName:
    """Return the row with the highest mean val score of its chosen cells (at least one row). Test scores do not count."""
    return max(rows, key=lambda row: float(np.mean([cell.candidate.val_f1_macro for cell in rows[row]])))


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
        raise  # a failure of the storage does not make the result invalid
    except (ValueError, OSError) as error:
        return LeftOut(planned, "refused", one_line(error))
    return cell


def _refuse_other_rate(cell: Cell, progress: StudyProgress) -> None:
    # The specification of a cell whose rate comes from a range test has no rate to compare with.
    from_range_test = any(upstream.kind == "lr_range" for upstream in progress.upstream(cell.planned))
    used, specified = cell.result.learning_rate, cell.stage.learning_rate
    if not from_range_test and (specified is None or not math.isclose(used, specified, rel_tol=1e-9)):
        raise ValueError(f"{layout.RESULT}: learning_rate is {used}, but the specification asks for {specified}")


def _refuse_stale(cell: Cell, progress: StudyProgress) -> None:
    for key, started_from in cell.result.upstream_digests.items():
        upstream = progress.folder(key)
        result = upstream.result() if upstream is not None else None
        now = (result or {}).get("digests", {}).get(layout.WEIGHTS, started_from)
        if now != started_from:
            raise ValueError(f"stale: upstream stage {short_key(key)} no longer has the weights it started from")


def _problems(study: Study) -> tuple[Mapping[str, str], ...]:
    try:
        return tuple(read_parquet(study.storage.read(layout.DATA_PROBLEMS, MOST_TABLE)).to_pylist())
    except FileNotFoundError:
        return ()

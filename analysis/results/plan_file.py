"""What a study set out to do: ``study.json`` and ``plan.json``, checked once, at the border."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from trainables.errors import UserError
from trainables.store import layout
from trainables.store.study import Study


class _Read(BaseModel):
    """Base of what analysis reads. The writer may say more than is read here."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class StudyHeader(_Read):
    """``study.json``: the identity of a study."""

    name: str
    uid: str
    target: str
    fingerprint: str
    split: str


class PlannedStage(_Read):
    """One stage of the plan. Its labels are those of the tables; they are no part of its key.

    Attributes:
        excluded: the rule of the grid by which it is not to be run, or None.
    """

    kind: str
    name: str
    key: str | None
    architecture: str
    scenario: str
    fold: int | None = None
    learning_rate: float | None = None
    seed: int = 0
    upstream: tuple[str, ...] = ()
    excluded: str | None = None

    @property
    def run(self) -> tuple[int | None, int]:
        """The run (fold, seed) that a cell belongs to. Its rates compete within it."""
        return self.fold, self.seed


class PlanFile(_Read):
    """``plan.json``: the stages as last planned.

    Attributes:
        places: where its inputs lay on the machine that planned: ``data``, ``weights``.
    """

    grid: str
    study: str
    target: str
    classes: tuple[str, ...]
    axes: dict[str, Any] = {}
    places: dict[str, str | None] = {}
    stages: tuple[PlannedStage, ...]

    @cached_property
    def cells(self) -> tuple[PlannedStage, ...]:
        """The fine-tuning stages."""
        return tuple(stage for stage in self.stages if stage.kind == "finetune")

    @cached_property
    def rows(self) -> tuple[tuple[str, str], ...]:
        """Each (architecture, scenario) with a planned cell, in the order of the grid's axes."""
        architectures = self._order("architecture")
        scenarios = self._order("scenario")
        pairs = {(cell.architecture, cell.scenario) for cell in self.cells}
        return tuple(sorted(pairs, key=lambda pair: (architectures[pair[0]], scenarios[pair[1]])))

    def _order(self, axis: str) -> dict[str, int]:
        declared = [str(label) for label in self.axes.get(axis) or ()]
        used = [str(getattr(cell, axis)) for cell in self.cells]
        return {label: place for place, label in enumerate(dict.fromkeys(declared + used))}


_Model = TypeVar("_Model", bound=_Read)


def read_header(study: Study) -> StudyHeader:
    """Return ``study.json``.

    Raises:
        UserError: if it is absent, no JSON, or lacks a field.
    """
    return _read(study, layout.STUDY, StudyHeader, lambda: study.header)


def read_plan(study: Study) -> PlanFile:
    """Return ``plan.json``.

    Raises:
        UserError: if it is absent, no JSON, or lacks a field.
    """
    return _read(study, layout.PLAN, PlanFile, lambda: study.plan)


def explain(error: Exception) -> str:
    """Return an error in one line; of a pydantic error the places and what is wrong there."""
    if not isinstance(error, ValidationError):
        return " ".join(str(error).split())
    faults = (f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
    return "; ".join(faults)


def _read(study: Study, file: str, model: type[_Model], load: Callable[[], dict[str, Any] | None]) -> _Model:
    path = study.storage.path(file)
    again = "Run the study's grid again (python -m sweep.run --grid … --study …): it writes the file anew"
    try:
        document = load()
    except FileNotFoundError:
        document = None
    except (ValueError, TypeError) as error:
        raise UserError(f"{path} is not a JSON object: {explain(error)}. {again}") from error
    if document is None:
        raise UserError(f"{path} is missing. {again}")
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise UserError(f"{path} is not as expected: {explain(error)}. {again}") from error

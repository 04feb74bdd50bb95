"""``study.json`` and ``plan.json`` as analysis reads them, validated on reading."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from trainables.errors import UserError
from trainables.store import layout
from trainables.store.study import Study

RowName = tuple[str, str]
"""Architecture and scenario: a row of the tables."""


class _Document(BaseModel):
    """A document of the study folder. Fields that analysis does not need are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class StudyHeader(_Document):
    """``study.json``: the identity of a study."""

    name: str
    uid: str
    target: str
    fingerprint: str
    split: str
    edition: int = 1


class PlannedStage(_Document):
    """One stage of the plan.

    Attributes:
        key: identity of the stage; None while data or weights are missing.
        architecture: label in the tables, not part of the key; likewise ``scenario``.
        learning_rate: None where a range test finds it.
        upstream: keys (or names, without a key) of the stages it needs.
        excluded: the rule of the grid that excludes it, or None.
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
        """Fold and seed: candidates are compared within a run."""
        return self.fold, self.seed

    @property
    def row(self) -> RowName:
        """The row of the tables that the stage belongs to."""
        return self.architecture, self.scenario


class PlanFile(_Document):
    """``plan.json``: the stages as last planned.

    Attributes:
        grid: name or file of the grid.
        target: name of the target data set.
        classes: names of its classes; labels are indices into them.
        axes: values of the grid's axes, in the order of the tables.
        places: paths of ``data`` and ``weights`` on the machine that planned.
        stages: all stages, upstream stages first.
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
    def rows(self) -> tuple[RowName, ...]:
        """The rows with a planned cell, in the order of the grid's axes."""
        architectures = self._order("architecture")
        scenarios = self._order("scenario")
        rows = {cell.row for cell in self.cells}
        return tuple(sorted(rows, key=lambda row: (architectures[row[0]], scenarios[row[1]])))

    def _order(self, axis: str) -> dict[str, int]:
        declared = [str(label) for label in self.axes.get(axis) or ()]
        used = [str(getattr(cell, axis)) for cell in self.cells]
        return {label: place for place, label in enumerate(dict.fromkeys(declared + used))}


_Model = TypeVar("_Model", bound=_Document)


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


def one_line(error: Exception) -> str:
    """Return the message of an error on one line; of a pydantic error each field with its fault."""
    if not isinstance(error, ValidationError):
        return " ".join(str(error).split())
    faults = (f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
    return "; ".join(faults)


def _read(study: Study, file: str, model: type[_Model], load: Callable[[], dict[str, Any] | None]) -> _Model:
    path = study.storage.path(file)
    again = "Run the study's grid again (python -m sweep.run --grid … --study …): it rewrites the file"
    try:
        document = load()
    except FileNotFoundError:
        document = None
    except (ValueError, TypeError) as error:
        raise UserError(f"{path} is not a JSON object: {one_line(error)}. {again}") from error
    if document is None:
        raise UserError(f"{path} is missing. {again}")
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise UserError(f"{path} is not as expected: {one_line(error)}. {again}") from error

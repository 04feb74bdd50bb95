"""The parts of ``grid.yaml`` that analysis reads: target, data sets, initial weights of scenarios, learning rates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, field_validator

from analysis.results.plan_file import one_line
from trainables.errors import UnsafeFileError
from trainables.store import layout
from trainables.store.study import Study
from trainables.store.untrusted import MOST_JSON, load_yaml

RANDOM = "random"
Domain = Literal["in", "out"]
DOMAIN_BY_NAME: Mapping[str, Domain] = {"pcam": "in", "tissue": "in", "cats": "out", "dogs": "out", "scenes": "out"}
"""Part of a data set's name -> whether it is of the target's domain: a grid does not declare it."""


class InitialWeights(BaseModel):
    """How a scenario comes by its initial weights.

    Attributes:
        start: ``random``, or the published weights that training starts from.
        pretrain: data sets to pre-train on, in order.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    start: str = RANDOM
    pretrain: tuple[str, ...] = ()

    @field_validator("pretrain", mode="before")
    @classmethod
    def _one_or_several(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value


class GridExcerpt(BaseModel):
    """``grid.yaml`` as far as analysis reads it.

    Attributes:
        target: name of the target data set.
        scenarios: by name.
        data: name of a data set -> its declaration.
        axes: values of the grid's axes.
        pretrain: recipe of the pre-training.
        fault: why the file cannot be read (the rest is empty then), or None.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    target: str = ""
    scenarios: dict[str, InitialWeights] = {}
    data: dict[str, dict[str, Any]] = {}
    axes: dict[str, Any] = {}
    pretrain: dict[str, Any] = {}
    fault: str | None = None

    @property
    def pretraining_sets(self) -> tuple[str, ...]:
        """Names of the data sets that scenarios pre-train on, each once."""
        return tuple(dict.fromkeys(name for scenario in self.scenarios.values() for name in scenario.pretrain))

    def domains(self) -> dict[str, Domain]:
        """Return the domain of each pre-training data set whose name tells it."""
        found: dict[str, Domain] = {}
        for name in self.pretraining_sets:
            for part, domain in DOMAIN_BY_NAME.items():
                if part in name.lower():
                    found.setdefault(name, domain)
        return found


def read_grid(study: Study) -> GridExcerpt:
    """Read ``grid.yaml``; what is wrong with it is in ``fault``."""
    path = study.storage.path(layout.GRID)
    try:
        return GridExcerpt.model_validate(load_yaml(study.storage.read(layout.GRID, MOST_JSON)))
    except FileNotFoundError:
        return GridExcerpt(fault=f"{path} is missing")
    except (ValueError, UnsafeFileError) as error:
        return GridExcerpt(fault=f"{path} cannot be read: {one_line(error)}")

"""What analysis reads of ``grid.yaml``: how each scenario comes by its weights, and where rates were asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from analysis.results.plan_file import explain
from trainables.store import layout
from trainables.store.study import Study

RANDOM = "random"
Domain = Literal["in", "out"]
BY_NAME: Mapping[str, Domain] = {"pcam": "in", "tissue": "in", "cats": "out", "dogs": "out", "scenes": "out"}
"""Part of a data set's name -> whether it is of the target's domain, where the grid does not say it."""


class ScenarioKind(BaseModel):
    """How a scenario comes by its initial weights."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    start: str = RANDOM
    pretrain: tuple[str, ...] = ()

    @field_validator("pretrain", mode="before")
    @classmethod
    def _one_or_several(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value


class GridNotes(BaseModel):
    """What the grid says, or why it cannot be read.

    Attributes:
        data: name of a data set -> what the grid says of it; ``domain: in`` or ``out`` where it says so.
        fault: why the grid cannot be read (then the rest is empty), or None.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    scenarios: dict[str, ScenarioKind] = {}
    data: dict[str, dict[str, Any]] = {}
    axes: dict[str, Any] = {}
    pretrain: dict[str, Any] = {}
    fault: str | None = None

    def domains(self) -> dict[str, tuple[Domain, bool]]:
        """Return of each data set scenarios pre-train on: its domain, and whether the grid says so itself."""
        found: dict[str, tuple[Domain, bool]] = {}
        for name in dict.fromkeys(name for kind in self.scenarios.values() for name in kind.pretrain):
            said = self.data.get(name, {}).get("domain")
            by_name = next((domain for part, domain in BY_NAME.items() if part in name.lower()), None)
            if said in ("in", "out"):
                found[name] = said, True
            elif by_name is not None:
                found[name] = by_name, False
        return found


def read_grid_notes(study: Study) -> GridNotes:
    """Read ``grid.yaml`` as far as it goes. What is wrong with it stands in ``fault``."""
    path = study.storage.path(layout.GRID)
    try:
        return GridNotes.model_validate(yaml.safe_load(study.storage.read(layout.GRID)))
    except FileNotFoundError:
        return GridNotes(fault=f"{path} is missing")
    except (yaml.YAMLError, ValidationError, ValueError) as error:
        return GridNotes(fault=f"{path} cannot be read: {explain(error)}")

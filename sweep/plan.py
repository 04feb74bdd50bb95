"""The plan: the stages of a grid as a directed acyclic graph, each once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sweep.grid import Grid
from sweep.inputs import Inputs
from sweep.schema import Scenario
from trainables.errors import UserError
from trainables.identity import readable
from trainables.specs import FileWeights, InitialWeights, RandomWeights, Stage, StageData, StageWeights


@dataclass(frozen=True)
class Plan:
    """All stages of a grid, upstream before downstream."""

    grid: Grid
    stages: tuple[Stage, ...]

    @property
    def cells(self) -> list[Stage]:
        """The fine-tuning stages."""
        return [stage for stage in self.stages if stage.kind == "finetune"]

    @property
    def unshared(self) -> int:
        """How many stages it would be if every cell trained its own upstream stages."""
        by_id = {identifier(stage): stage for stage in self.stages}

        def chain(stage: Stage) -> int:
            return 1 + sum(chain(by_id[up]) for up in stage.upstream)

        return sum(chain(cell) for cell in self.cells)

    def document(self, study: str, inputs: Inputs) -> dict[str, Any]:
        """Return the content of ``plan.json``."""
        file = self.grid.file
        target = inputs.data.get(file.target)
        split = inputs.splits.get(file.target)
        return {
            "grid": self.grid.document.name,
            "study": study,
            "target": file.target,
            "classes": list(target.classes) if target else [],
            "split": split.digest if split else None,
            "axes": self.axes(),
            "stages": [summary(stage) for stage in self.stages],
        }

    def axes(self) -> dict[str, list[Any]]:
        """Return the values that each axis takes in the cells."""
        cells = self.cells
        return {
            axis: list(dict.fromkeys(getattr(cell, axis) for cell in cells))
            for axis in ("architecture", "scenario", "fold", "learning_rate", "seed")
        }

    def counts(self) -> dict[str, int]:
        """Return how many stages there are of each kind."""
        return dict(Counter(stage.kind for stage in self.stages))


def identifier(stage: Stage) -> str:
    """Return the key of a stage, or its name while the key is unknown."""
    return stage.key or stage.name


def summary(stage: Stage) -> dict[str, Any]:
    """Return what lists of stages show of one."""
    fields = ("kind", "name", "key", "architecture", "scenario", "fold", "learning_rate", "seed")
    return {**{field: getattr(stage, field) for field in fields}, "upstream": list(stage.upstream)}


def make_plan(grid: Grid, inputs: Inputs) -> Plan:
    """Resolve a grid into stages. Keys are None where an input is not at hand.

    Raises:
        UserError: if two names of the grid stand for the same work.
    """
    plan = Plan(grid, tuple(_Planner(grid, inputs).stages()))
    first: dict[str, Stage] = {}
    twins = [(twin, s) for s in plan.stages if (twin := first.setdefault(identifier(s), s)) is not s]
    if twins:
        raise UserError(f"{a.kind} {a.name} and {b.name} are the same work under two names" for a, b in twins)
    return plan


class _Planner:
    def __init__(self, grid: Grid, inputs: Inputs) -> None:
        self._grid = grid
        self._inputs = inputs
        self._pretrained: dict[tuple[object, ...], Stage] = {}
        self._names: set[str] = set()

    def stages(self) -> Iterator[Stage]:
        """Pre-training stages first, then the cells: each after what it needs."""
        cells = [cell for architecture in self._grid.models for cell in self._cells(architecture)]
        yield from self._pretrained.values()
        yield from cells

    def _cells(self, architecture: str) -> Iterator[Stage]:
        for name, scenario in self._grid.scenarios.items():
            for seed in self._grid.file.axes.seed:
                upstream = self._chain(architecture, name, scenario, seed)
                for fold in self._grid.folds:
                    for rate in self._grid.cell_rates(name, architecture):
                        yield self._cell(architecture, name, scenario, seed, fold, rate, upstream)

    def _cell(
        self,
        architecture: str,
        scenario: str,
        spec: Scenario,
        seed: int,
        fold: int,
        rate: float,
        upstream: Stage | None,
    ) -> Stage:
        labels = {
            "kind": "finetune",
            "architecture": architecture,
            "scenario": scenario,
            "seed": seed,
            "fold": fold,
            "data": self._grid.file.target,
        }
        return self._stage(
            labels, f"{architecture}-{scenario}-fold{fold}-lr{rate:g}-seed{seed}", rate, spec.start, upstream
        )

    def _chain(self, architecture: str, scenario: str, spec: Scenario, seed: int) -> Stage | None:
        """Return the last pre-training stage of a scenario; chains that begin alike share their beginning."""
        last: Stage | None = None
        for length in range(1, len(spec.pretrain) + 1):
            done = spec.pretrain[:length]
            labels = {
                "kind": "pretrain",
                "architecture": architecture,
                "scenario": scenario,
                "seed": seed,
                "fold": None,
            }
            rate = self._grid.pretrain_rate(scenario, architecture)
            name = f"{architecture}-{'+'.join([spec.start, *done])}-lr{rate:g}-seed{seed}"
            stage = self._stage({**labels, "data": done[-1]}, name, rate, spec.start, last)
            alike = (architecture, spec.start, done, seed, rate, stage.recipe, last and identifier(last))
            if alike not in self._pretrained:
                rename = {"name": readable(f"{name}-for-{scenario}")} if stage.name in self._names else {}
                self._pretrained[alike] = stage.model_copy(update=rename)
                self._names.add(self._pretrained[alike].name)
            last = self._pretrained[alike]
        return last

    def _stage(self, labels: dict[str, Any], name: str, rate: float, start: str, upstream: Stage | None) -> Stage:
        data = labels.pop("data")
        packed, split = self._inputs.data.get(data), self._inputs.splits.get(data)
        return Stage(
            **labels,
            name=readable(name),
            learning_rate=rate,
            split=split.digest if split else None,
            upstream=(identifier(upstream),) if upstream else (),
            model=self._grid.models[labels["architecture"]],
            initial=self._initial(labels["architecture"], start, upstream),
            data=StageData(
                name=data,
                fingerprint=packed.fingerprint if packed else None,
                classes=packed.classes if packed else (),
                size=self._grid.file.data[data].size,
            ),
            recipe=self._grid.recipe({**labels, "data": data}),
        )

    def _initial(self, architecture: str, start: str, upstream: Stage | None) -> InitialWeights:
        if upstream is not None:
            return StageWeights(key=upstream.key)
        if start == "random":
            return RandomWeights()
        file = self._inputs.weights.get((start, architecture))
        return FileWeights(name=start, sha256=file.sha256 if file else None)

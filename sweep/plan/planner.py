"""Resolving a grid into stages: what cells share is made once, upstream before downstream."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import chain, count
from typing import Any

from sweep.grid import rehearsal
from sweep.grid.axes import Point
from sweep.grid.grid import Grid
from sweep.grid.learning_rates import RangeTestRate, Rate
from sweep.grid.rules import said
from sweep.plan.inputs import Inputs
from sweep.plan.stage_template import StageTemplate
from trainables.data.readers.data_spec import reader_plugin
from trainables.errors import UserError
from trainables.hashing import readable
from trainables.specs import (
    FileWeights,
    FoundRate,
    InitialWeights,
    Kind,
    RandomWeights,
    Recipe,
    Stage,
    StageData,
    StageWeights,
    StandInWeights,
)

WITHOUT_MEANING = {
    "epochs": 1,
    "decay": "constant",
    "decay_epochs": 7,
    "decay_factor": 0.1,
    "warmup_epochs": 0.0,
    "patience": None,
    "decay_options": {},
    "stopping": "patience",
    "stopping_options": {},
    "metrics": (),
}
"""Settings of a recipe that a range test has no use for, and what its recipe says instead: constants, so that
its key, and with it the test, stays when they change."""


@dataclass(frozen=True)
class Excluded:
    """A cell that a rule leaves out."""

    architecture: str
    scenario: str
    fold: int
    learning_rate: float | None
    seed: int
    rule: str

    def document(self) -> dict[str, Any]:
        """Return it as it stands in ``plan.json``."""
        return asdict(self)


class Planner:
    """Walks through the points of a grid, once."""

    def __init__(self, grid: Grid, inputs: Inputs) -> None:
        self.excluded: list[Excluded] = []
        self._grid = grid
        self._inputs = inputs
        self._shared: dict[tuple[object, ...], Stage] = {}
        self._ends: dict[tuple[object, ...], Stage | None] = {}
        self._prototypes: dict[tuple[object, ...], StageTemplate] = {}
        self._names: set[str] = set()

    def stages(self) -> Iterator[Stage]:
        """Yield what cells share first, then the cells: each after what it needs."""
        cells = [cell for point in self._grid.combination.points() for cell in self._cells(point)]
        yield from self._shared.values()
        yield from cells

    def _cells(self, point: Point) -> Iterator[Stage]:
        combination = self._grid.combination
        always = combination.excluding(point)
        for rate in self._rates(point, bool(always)):
            if rules := combination.excluding(point, rate) if combination.by_rate else always:
                self._leave_out(point, rate, rules[0])
            elif rate is not None:
                yield self._cell(point, rate)

    def _rates(self, point: Point, always_excluded: bool) -> tuple[Rate | None, ...]:
        if point.rate is not None:
            return (point.rate,)
        try:
            return self._grid.cell_rates(point.scenario, point.architecture)
        except UserError:  # a table need not have rates for what is not wanted
            if always_excluded:
                return (None,)
            raise

    def _leave_out(self, point: Point, rate: Rate | None, rule: int) -> None:
        known = rate if isinstance(rate, float) else None
        text = said(self._grid.file.exclude[rule])
        self.excluded.append(Excluded(point.architecture, point.label, point.fold, known, point.seed, text))

    def _cell(self, point: Point, rate: Rate) -> Stage:
        file, upstream = self._grid.file, self._pretrained(point)
        labels = {"kind": "finetune", "data": file.target, **point.labels()}
        recipe = self._grid.recipe(labels, point.settings)
        about = f"{point.architecture}-{point.label}"
        more: dict[str, Any] = {"learning_rate": rate}
        needed = (upstream.identifier,) if upstream else ()
        if isinstance(rate, RangeTestRate):
            test = self._range_test(point, rate, file.target, recipe, upstream, f"{about}-", point.fold)
            needed, more = (*needed, test.identifier), _found(test, rate)
        name = readable(f"{about}-fold{point.fold}-{_rate_name(rate)}-seed{point.seed}")
        own = {"name": name, "scenario": point.label, "fold": point.fold, "seed": point.seed, **more}
        return self._made("finetune", point, file.target, recipe, upstream, own, needed)

    def _made(
        self,
        kind: Kind,
        point: Point,
        data: str,
        recipe: Recipe,
        before: Stage | None,
        own: dict[str, Any],
        needed: tuple[str, ...],
    ) -> Stage:
        """Return a stage that trains, made after the first of its like; ``own`` are the plain fields of its own."""
        alike = (kind, data, point.architecture, point.scenario, id(recipe), own.pop("found_rate", None))
        if alike not in self._prototypes:
            found = {"found_rate": alike[-1]}
            stage = self._stage(kind, point, data, recipe, before, **own, **found, upstream=needed)
            self._prototypes[alike] = StageTemplate(stage)
        near = (*alike, needed)
        if near not in self._prototypes:
            initial = self._initial(point, before)
            self._prototypes[near] = self._prototypes[alike].starting_from(initial, needed)
        return self._prototypes[near].copy(**own)

    def _pretrained(self, point: Point) -> Stage | None:
        """Return the last pre-training stage of a point; chains that begin alike share their beginning."""
        known = (point.architecture, point.scenario, point.seed, repr(point.settings))
        if known not in self._ends:
            self._ends[known] = self._chain(point)
        return self._ends[known]

    def _chain(self, point: Point) -> Stage | None:
        scenario, last = self._grid.scenarios[point.scenario], None
        done: tuple[str, ...] = ()
        for data in scenario.pretrain:
            name = self._grid.data_name(data, point.settings)
            done = (*done, name)
            labels = {"kind": "pretrain", "data": data, **point.labels(), "fold": None}
            last = self._pretraining(point, name, done, self._grid.recipe(labels, point.settings), last)
        return last

    def _pretraining(
        self, point: Point, data: str, done: tuple[str, ...], recipe: Recipe, before: Stage | None
    ) -> Stage:
        start = self._grid.scenarios[point.scenario].start
        rate = self._grid.pretrain_rate(point.scenario, point.architecture)
        about = f"{point.architecture}-{'+'.join([start, *done])}-"
        more: dict[str, Any] = {"learning_rate": rate}
        needed = (before.identifier,) if before else ()
        if isinstance(rate, RangeTestRate):
            test = self._range_test(point, rate, data, recipe, before, about, None)
            needed, more = (*needed, test.identifier), _found(test, rate)
        name = f"{about}{_rate_name(rate)}-seed{point.seed}"
        own = {"name": name, "scenario": point.scenario, "fold": None, "seed": point.seed, **more}
        stage = self._made("pretrain", point, data, recipe, before, own, needed)
        alike = ("pretrain", point.architecture, start, done, point.seed, rate, recipe, needed)
        return self._once(alike, stage, point)

    def _range_test(
        self,
        point: Point,
        sought: RangeTestRate,
        data: str,
        of: Recipe,
        before: Stage | None,
        about: str,
        fold: int | None,
    ) -> Stage:
        start = self._grid.scenarios[point.scenario].start
        if fold is not None and sought.share:
            fold = 0
            labels = {"kind": "finetune", "data": data, **point.labels(), "fold": fold}
            of = self._grid.recipe(labels, point.settings)
        recipe = of.model_copy(update=WITHOUT_MEANING)
        needed = (before.identifier,) if before else ()
        place = "" if fold is None else f"fold{fold}-"
        name = f"{about}{place}{'shared-' if sought.share else ''}range-seed{point.seed}"
        ramp = rehearsal.ramp(sought.ramp) if self._grid.rehearsal else sought.ramp
        own = {"fold": fold, "seed": point.seed, "ramp": ramp, "learning_rate": None, "upstream": needed}
        label = point.scenario if fold is None else point.label
        stage = self._stage("lr_range", point, data, recipe, before, name=name, scenario=label, **own)
        alike = ("lr_range", point.architecture, start, data, point.seed, fold, sought.ramp, recipe, needed)
        return self._once(alike, stage, point)

    def _once(self, alike: tuple[object, ...], stage: Stage, point: Point) -> Stage:
        if alike not in self._shared:
            name, label = stage.name, f"{stage.name}-for-{point.label}"
            others = (f"{label}-{n}" for n in count(2))
            names = map(readable, chain([name, f"{name}-for-{point.scenario}", label], others))
            free = next(name for name in names if name not in self._names)
            self._names.add(free)
            self._shared[alike] = stage if free == stage.name else stage.model_copy(update={"name": free})
        return self._shared[alike]

    def _stage(self, kind: Kind, point: Point, data: str, recipe: Recipe, before: Stage | None, **own: Any) -> Stage:
        packed, split = self._inputs.data.get(data), self._inputs.splits.get(data)
        return Stage(
            kind=kind,
            architecture=point.architecture,
            split=split.digest if split else None,
            model=self._grid.models[point.architecture],
            initial=self._initial(point, before),
            data=StageData(
                name=data,
                fingerprint=packed.fingerprint if packed else None,
                classes=packed.classes if packed else (),
                size=self._grid.data_specs[data].size,
                reader=reader_plugin(self._grid.data_specs[data]),
            ),
            recipe=recipe,
            **own,
        )

    def _initial(self, point: Point, before: Stage | None) -> InitialWeights:
        start = self._grid.scenarios[point.scenario].start
        if before is not None:
            return StageWeights(key=before.key)
        if start == "random":
            return RandomWeights()
        file = self._inputs.weights.get((start, point.architecture))
        if file is None and self._grid.rehearsal:
            return StandInWeights(name=start)
        return FileWeights(name=start, sha256=file.sha256 if file else None)


def _found(test: Stage, sought: RangeTestRate) -> dict[str, Any]:
    return {"learning_rate": None, "found_rate": FoundRate(key=test.key, times=sought.times)}


def _rate_name(rate: Rate) -> str:
    return f"lr{rate:.12g}" if isinstance(rate, float) else f"found-x{rate.times:.12g}"

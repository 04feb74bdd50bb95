"""Resolves a grid into stages. Stages that several cells need exist once; upstream comes before downstream."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from itertools import chain, count
from typing import Any

from sweep.grid import rehearsal
from sweep.grid.axes import Point
from sweep.grid.grid import Grid
from sweep.grid.learning_rates import RangeTestRate, Rate
from sweep.grid.rules.matching import describe
from sweep.plan.inputs import Inputs
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
"""Settings of a recipe that a range test does not use, at the constants that replace them: its key, and with it the test,
stays the same when they change."""


@dataclass(frozen=True)
class Excluded:
    """A cell that an ``exclude`` rule leaves out."""

    architecture: str
    scenario: str
    fold: int
    learning_rate: float | None
    seed: int
    rule: str

    def document(self) -> dict[str, Any]:
        """Return its row of ``plan.json``."""
        return asdict(self)


@dataclass(frozen=True)
class _Training:
    """A training, before its learning rate is known.

    Attributes:
        point: of the grid.
        data: name of the data set, with the settings of axes.
        recipe: how it is trained.
        before: the stage whose weights it starts from.
        about: the beginning of the names of the stage and of its range test.
        fold: None for pre-training.
    """

    point: Point
    data: str
    recipe: Recipe
    before: Stage | None
    about: str
    fold: int | None


class Planner:
    """Makes the stages of a grid; for one use.

    Attributes:
        excluded: the cells that rules leave out, known once the stages were made.
    """

    def __init__(self, grid: Grid, inputs: Inputs) -> None:
        """Begin with no stage.

        Args:
            grid: what is to be done.
            inputs: data sets, splits and weights that are at hand: without them keys are unknown.
        """
        self.excluded: list[Excluded] = []
        self._grid = grid
        self._inputs = inputs
        self._shared: dict[tuple[object, ...], Stage] = {}
        self._last_pretraining: dict[tuple[object, ...], Stage | None] = {}
        self._names: set[str] = set()

    def stages(self) -> Iterator[Stage]:
        """Yield the stages that cells share, then the cells: each after its upstream stages."""
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
        except UserError:  # a table need not have rates for excluded cells
            if always_excluded:
                return (None,)
            raise

    def _leave_out(self, point: Point, rate: Rate | None, rule: int) -> None:
        known = rate if isinstance(rate, float) else None
        text = describe(self._grid.file.exclude[rule])
        self.excluded.append(Excluded(point.architecture, point.label, point.fold, known, point.seed, text))

    def _cell(self, point: Point, rate: Rate) -> Stage:
        data, about = self._grid.file.target, f"{point.architecture}-{point.label}-"
        recipe = self._grid.recipe({"kind": "finetune", "data": data, **point.labels()}, point.settings)
        training = _Training(point, data, recipe, self._pretrained(point), about, point.fold)
        name = readable(f"{about}fold{point.fold}-{_rate_name(rate)}-seed{point.seed}")
        return self._trained("finetune", training, rate, name, point.label)

    def _pretrained(self, point: Point) -> Stage | None:
        """Return the last pre-training stage of a point; chains with the same beginning share its stages."""
        identity = (point.architecture, point.scenario, point.seed, repr(point.settings))
        if identity not in self._last_pretraining:
            last: Stage | None = None
            done: tuple[str, ...] = ()
            for data in self._grid.scenarios[point.scenario].pretrain:
                done = (*done, self._grid.data_name(data, point.settings))
                last = self._pretraining(point, data, done, last)
            self._last_pretraining[identity] = last
        return self._last_pretraining[identity]

    def _pretraining(self, point: Point, data: str, done: tuple[str, ...], before: Stage | None) -> Stage:
        """Return the stage that trains on the last of ``done``, all of the chain so far; rules match on ``data``."""
        start = self._grid.scenarios[point.scenario].start
        rate = self._grid.pretrain_rate(point.scenario, point.architecture)
        labels = {"kind": "pretrain", "data": data, **point.labels(), "fold": None}
        recipe, about = self._grid.recipe(labels, point.settings), f"{point.architecture}-{'+'.join([start, *done])}-"
        training = _Training(point, done[-1], recipe, before, about, None)
        name = f"{about}{_rate_name(rate)}-seed{point.seed}"
        stage = self._trained("pretrain", training, rate, name, point.scenario)
        return self._once(
            ("pretrain", point.architecture, start, done, point.seed, rate, recipe, stage.upstream), stage, point
        )

    def _trained(self, kind: Kind, training: _Training, rate: Rate, name: str, scenario: str) -> Stage:
        """Return the stage of a training; where a range test finds its rate, the test is upstream of it."""
        fields: dict[str, Any] = {"learning_rate": rate, "upstream": _keys(training.before)}
        if isinstance(rate, RangeTestRate):
            test = self._range_test(training, rate)
            found = FoundRate(key=test.key, times=rate.times)
            fields = {"learning_rate": None, "found_rate": found, "upstream": _keys(training.before, test)}
        return self._stage(kind, training, name, scenario, **fields)

    def _range_test(self, training: _Training, rate: RangeTestRate) -> Stage:
        point, fold, recipe = training.point, training.fold, training.recipe
        if fold is not None and rate.share:
            fold = 0
            labels = {"kind": "finetune", "data": training.data, **point.labels(), "fold": fold}
            recipe = self._grid.recipe(labels, point.settings)
        test = replace(training, recipe=recipe.model_copy(update=WITHOUT_MEANING), fold=fold)
        place = "" if fold is None else f"fold{fold}-"
        name = f"{test.about}{place}{'shared-' if rate.share else ''}range-seed{point.seed}"
        ramp = rehearsal.ramp(rate.ramp) if self._grid.rehearsal else rate.ramp
        scenario = point.scenario if fold is None else point.label
        upstream = _keys(test.before)
        stage = self._stage("lr_range", test, name, scenario, learning_rate=None, ramp=ramp, upstream=upstream)
        start = self._grid.scenarios[point.scenario].start
        what = (point.architecture, start, test.data, point.seed, fold, rate.ramp, test.recipe, upstream)
        return self._once(("lr_range", *what), stage, point)

    def _once(self, identity: tuple[object, ...], stage: Stage, point: Point) -> Stage:
        """Return the shared stage of a description; the first of them is given a name that no other has."""
        if identity not in self._shared:
            name, label = stage.name, f"{stage.name}-for-{point.label}"
            others = (f"{label}-{n}" for n in count(2))
            names = map(readable, chain([name, f"{name}-for-{point.scenario}", label], others))
            free = next(name for name in names if name not in self._names)
            self._names.add(free)
            self._shared[identity] = stage if free == stage.name else stage.model_copy(update={"name": free})
        return self._shared[identity]

    def _stage(self, kind: Kind, training: _Training, name: str, scenario: str, **own: Any) -> Stage:
        point, data = training.point, training.data
        packed, split = self._inputs.data.get(data), self._inputs.splits.get(data)
        return Stage(
            kind=kind,
            name=name,
            architecture=point.architecture,
            scenario=scenario,
            fold=training.fold,
            seed=point.seed,
            split=split.digest if split else None,
            model=self._grid.models[point.architecture],
            initial=self._initial(point, training.before),
            data=StageData(
                name=data,
                fingerprint=packed.fingerprint if packed else None,
                classes=packed.classes if packed else (),
                size=self._grid.data_specs[data].size,
                reader=reader_plugin(self._grid.data_specs[data]),
            ),
            recipe=training.recipe,
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


def _keys(*stages: Stage | None) -> tuple[str, ...]:
    """The ``upstream`` field of a stage that needs these, as far as there are any."""
    return tuple(stage.identifier for stage in stages if stage is not None)


def _rate_name(rate: Rate) -> str:
    return f"lr{rate:.12g}" if isinstance(rate, float) else f"found-x{rate.times:.12g}"

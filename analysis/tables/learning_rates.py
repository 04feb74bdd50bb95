"""Learning rates: those used, in the form of Table 2 of Glüge et al. 2024, and where each came from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from analysis.formats.number_format import Value, rate_text
from analysis.formats.table import Column, Footnote, Row, Table
from analysis.registry.report_entry import report_entry
from analysis.results.collect import Collected
from analysis.results.plan_file import PlannedStage
from analysis.stats.report_data import ReportData
from analysis.tables.registry import TABLES

PHASES = {"pretrain": "pre-training", "finetune": "fine-tuning"}
_PHASE = (Column("phase", "Phase"), Column("scenario", "Scenario"))


@dataclass(frozen=True)
class UsedRate:
    """The start rate of a finished stage.

    Attributes:
        phase: ``pre-training`` or ``fine-tuning``.
        scenario: label of the row; likewise ``architecture``.
        run: fold and seed.
        rate: as used.
        source: where it came from, in words.
    """

    phase: str
    scenario: str
    architecture: str
    run: tuple[int | None, int]
    rate: float
    source: str


@TABLES.register("learning_rates")
@report_entry("rates", place=10)
def rates_table(data: ReportData) -> Table:
    """Return the rates used: phase × scenario, a column per architecture; several rates are joined by ``;``."""
    plan = data.collected.plan
    architectures = list(dict.fromkeys(name for name, _ in plan.rows))
    rates: dict[tuple[str, str, str], set[float]] = defaultdict(set)
    for one in used_rates(data.collected):
        rates[one.phase, one.scenario, one.architecture].add(one.rate)
    planned = dict.fromkeys(
        (PHASES[stage.kind], stage.scenario) for kind in PHASES for stage in plan.stages if stage.kind == kind
    )
    rows = []
    for phase, scenario in planned:
        values: dict[str, Value] = {"phase": phase, "scenario": scenario}
        for name in architectures:
            values[name] = ";".join(map(rate_text, sorted(rates[phase, scenario, name])))
        rows.append(Row(values))
    return Table(
        title="Start learning rates used",
        columns=(*_PHASE, *(Column(name, name) for name in architectures)),
        rows=tuple(rows),
        caption="Of pre-training, and of the fine-tuning cells chosen on val. Where folds differ, their rates are joined "
        "by a semicolon. A pre-training shared by several scenarios stands at the first of them. A dash: not run.",
    )


@TABLES.register("learning_rate_sources")
@report_entry("rates", place=20)
def sources_table(data: ReportData) -> Table:
    """Return where each rate came from; runs of the same rate and source share a row."""
    collected = data.collected
    runs: dict[UsedRate, list[str]] = defaultdict(list)
    seeds = len({cell.seed for cell in collected.plan.cells}) > 1
    for one in used_rates(collected):
        fold, seed = one.run
        place = "all" if fold is None else str(fold)
        runs[replace(one, run=(None, 0))].append(f"{place} (seed {seed})" if seeds else place)
    rows = tuple(
        Row(
            {
                "phase": one.phase,
                "scenario": one.scenario,
                "architecture": one.architecture,
                "folds": ", ".join(folds),
                "learning_rate": one.rate,
                "source": one.source,
            }
        )
        for one, folds in runs.items()
    )
    fault = collected.grid.fault
    return Table(
        title="Where each learning rate came from",
        columns=(
            *_PHASE,
            Column("architecture", "Architecture"),
            Column("folds", "Folds"),
            Column("learning_rate", "Learning rate", "rate"),
            Column("source", "Source"),
        ),
        rows=rows,
        caption="A rate is given in the grid, or found by a learning rate range test (Smith 2017).",
        footnotes=() if fault is None else (Footnote("", f"How the grid asked for them cannot be told: {fault}."),),
    )


def used_rates(collected: Collected) -> Iterator[UsedRate]:
    """Yield the rates of all finished pre-training stages, then of all chosen cells."""
    in_grid = _in_grid(collected.grid.pretrain.get("learning_rate"))
    for stage, folder in collected.finished("pretrain"):
        rate = (folder.result() or {}).get("learning_rate", stage.learning_rate)
        if isinstance(rate, int | float):
            yield _used(collected, stage, float(rate), in_grid)
    in_grid = _in_grid(collected.grid.axes.get("learning_rate"))
    for choice, cell in zip(collected.choices, collected.chosen, strict=True):
        source = in_grid
        if len(choice.candidates) > 1:
            rates = sorted(candidate.learning_rate for candidate in choice.candidates)
            source = f"{in_grid}, chosen on val from {', '.join(map(rate_text, rates))}"
        yield _used(collected, cell.planned, cell.result.learning_rate, source)


def _used(collected: Collected, stage: PlannedStage, rate: float, source: str) -> UsedRate:
    tests = [upstream for upstream in collected.progress.upstream(stage) if upstream.kind == "lr_range"]
    if tests:
        source = _range_test(collected, stage, tests[0])
    return UsedRate(PHASES[stage.kind], stage.scenario, stage.architecture, stage.run, rate, source)


def _range_test(collected: Collected, stage: PlannedStage, test: PlannedStage) -> str:
    folder = collected.progress.folder(test.key)
    choice = ((folder.result() if folder is not None else None) or {}).get("choice")
    fields: Mapping[str, Any] = choice if isinstance(choice, Mapping) else {}
    parts = [str(fields[key]) for key in ("rule", "reason", "fallback") if fields.get(key)]
    # Named, because the val images of one fold are test images of another.
    shared = " shared by folds" if test.fold is None and stage.fold is not None else ""
    return f"range test{shared}: {', '.join(parts)}" if parts else f"range test{shared}"


def _in_grid(declared: Any) -> str:
    """Return the form in which the grid declares a learning rate."""
    if isinstance(declared, Mapping) and "table" in declared:
        factors = [rate_text(factor) for factor in declared.get("times") or (1.0,)]
        return "table in the grid" if factors == ["1"] else f"table in the grid times {', '.join(factors)}"
    return "list in the grid" if isinstance(declared, list) and len(declared) > 1 else "grid"

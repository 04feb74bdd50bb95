"""Learning rates: which were used, in the form of the paper's Table 2, and where each came from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from analysis.formats.number_format import Value
from analysis.formats.table import Column, Footnote, Row, Table
from analysis.results.collect import Collected
from analysis.results.plan_file import PlannedStage
from analysis.stats.class_averages import rate_text

PHASES = {"pretrain": "pre-training", "finetune": "fine-tuning"}
_HEADINGS = {"phase": "Phase", "scenario": "Scenario"}


@dataclass(frozen=True)
class UsedRate:
    """The start rate of a stage that counts, and where it came from."""

    phase: str
    scenario: str
    architecture: str
    run: tuple[int | None, int]
    rate: float
    source: str


def used_rates(collected: Collected) -> tuple[UsedRate, ...]:
    """Return the rates of all finished pre-training stages, then of all chosen cells."""
    return (*_pretrained(collected), *_chosen(collected))


def rates_table(collected: Collected, used: tuple[UsedRate, ...]) -> Table:
    """Return Table 2's form: phase × scenario, a column for each architecture; several rates joined by ``;``."""
    architectures = list(dict.fromkeys(name for name, _ in collected.plan.rows))
    rates: dict[tuple[str, str, str], set[float]] = defaultdict(set)
    for one in used:
        rates[one.phase, one.scenario, one.architecture].add(one.rate)
    planned = dict.fromkeys(
        (PHASES[stage.kind], stage.scenario) for kind in PHASES for stage in collected.plan.stages if stage.kind == kind
    )
    rows = []
    for phase, scenario in planned:
        values: dict[str, Value] = {"phase": phase, "scenario": scenario}
        for name in architectures:
            values[name] = ";".join(map(rate_text, sorted(rates[phase, scenario, name])))
        rows.append(Row(values))
    return Table(
        name="learning_rates",
        title="Start learning rates used",
        columns=(
            *(Column(key, heading) for key, heading in _HEADINGS.items()),
            *(Column(name, name) for name in architectures),
        ),
        rows=tuple(rows),
        caption="Of pre-training, and of the fine-tuning cells chosen on val. Where folds differ, their rates are joined "
        "by a semicolon. A pre-training shared by several scenarios stands at the first of them. A dash: not run.",
    )


def sources_table(collected: Collected, used: tuple[UsedRate, ...]) -> Table:
    """Return where each rate came from; runs of the same rate and source share a row."""
    runs: dict[UsedRate, list[str]] = defaultdict(list)
    seeds = len({cell.seed for cell in collected.plan.cells}) > 1
    for one in used:
        fold, seed = one.run
        place = "all" if fold is None else str(fold)
        alike = UsedRate(one.phase, one.scenario, one.architecture, (None, 0), one.rate, one.source)
        runs[alike].append(f"{place} (seed {seed})" if seeds else place)
    rows = tuple(
        Row(
            {
                "phase": one.phase,
                "scenario": one.scenario,
                "architecture": one.architecture,
                "folds": ", ".join(places),
                "learning_rate": one.rate,
                "source": one.source,
            }
        )
        for one, places in runs.items()
    )
    return Table(
        name="learning_rate_sources",
        title="Where each learning rate came from",
        columns=(
            *(Column(key, heading) for key, heading in _HEADINGS.items()),
            Column("architecture", "Architecture"),
            Column("folds", "Folds"),
            Column("learning_rate", "Learning rate", "rate"),
            Column("source", "Source"),
        ),
        rows=rows,
        caption="A rate is given in the grid, or found by a learning rate range test (Smith 2017).",
        footnotes=_fault(collected),
    )


def _pretrained(collected: Collected) -> Iterator[UsedRate]:
    for stage in collected.plan.stages:
        folder = collected.progress.folder(stage.key)
        if stage.kind != "pretrain" or folder is None or collected.progress.state(stage) != "done":
            continue
        rate = (folder.result() or {}).get("learning_rate", stage.learning_rate)
        if isinstance(rate, int | float):
            yield _used(collected, stage, float(rate), _in_grid(collected.grid.pretrain.get("learning_rate")))


def _chosen(collected: Collected) -> Iterator[UsedRate]:
    asked = _in_grid(collected.grid.axes.get("learning_rate"))
    for choice, cell in zip(collected.choices, collected.chosen, strict=True):
        source = asked
        if len(choice.candidates) > 1:
            tried = ", ".join(
                rate_text(one.learning_rate) for one in sorted(choice.candidates, key=lambda c: c.learning_rate)
            )
            source = f"{asked}, chosen on val from {tried}"
        yield _used(collected, cell.planned, cell.result.learning_rate, source)


def _used(collected: Collected, stage: PlannedStage, rate: float, source: str) -> UsedRate:
    tests = [up for up in collected.progress.upstream(stage) if up.kind == "lr_range"]
    return UsedRate(
        PHASES[stage.kind],
        stage.scenario,
        stage.architecture,
        stage.run,
        rate,
        _range_test(collected, stage, tests[0]) if tests else source,
    )


def _range_test(collected: Collected, stage: PlannedStage, test: PlannedStage) -> str:
    folder = collected.progress.folder(test.key)
    choice = ((folder.result() if folder is not None else None) or {}).get("choice")
    told: Mapping[str, Any] = choice if isinstance(choice, Mapping) else {}
    parts = [str(told[key]) for key in ("rule", "reason", "fallback") if told.get(key)]
    # The val images of one fold are test images of another.
    shared = " shared by folds" if test.fold is None and stage.fold is not None else ""
    return f"range test{shared}: {', '.join(parts)}" if parts else f"range test{shared}"


def _in_grid(asked: Any) -> str:
    if isinstance(asked, Mapping) and "table" in asked:
        factors = [rate_text(factor) for factor in asked.get("times") or (1.0,)]
        return "table in the grid" if factors == ["1"] else f"table in the grid times {', '.join(factors)}"
    return "list in the grid" if isinstance(asked, list) and len(asked) > 1 else "grid"


def _fault(collected: Collected) -> tuple[Footnote, ...]:
    fault = collected.grid.fault
    return () if fault is None else (Footnote("", f"How the grid asked for them cannot be told: {fault}."),)

"""Two studies row by row: paired over folds where they share the split, else only described."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.formats.number_format import Value
from analysis.formats.table import Column, Footnote, Row, Table
from analysis.results.collect import Collected
from analysis.stats import study_summary
from analysis.stats.class_averages import RowScores, row_scores
from analysis.stats.comparisons import LEAST_FOLDS
from analysis.stats.paired_tests import PairedTest, corrected_t_test, holm

MEASURE = "f1"
Name = tuple[str, str]


@dataclass(frozen=True)
class _Both:
    """A row that at least one of two studies has."""

    name: Name
    first: RowScores | None
    second: RowScores | None
    test: PairedTest | None


def scores_side_by_side(first: Collected, second: Collected) -> Table:
    """Return macro F1 of each row in both studies, with the difference second minus first."""
    paired = first.header.split == second.header.split and first.split.fault is None
    rows = [{(row.architecture, row.scenario): row for row in row_scores(one)} for one in (first, second)]
    names = list(dict.fromkeys([*rows[0], *rows[1]]))
    both = [_Both(name, rows[0].get(name), rows[1].get(name), None) for name in names]
    if paired:
        both = [_Both(one.name, one.first, one.second, _test(first, one.first, one.second)) for one in both]
    corrected = holm([_p(one.test) for one in both])
    figures: tuple[Column, ...] = ()
    if paired:
        figures = (
            *(Column("ci_low", "95 % from", "score"), Column("ci_high", "95 % to", "score")),
            *(Column("p", "p", "p"), Column("p_holm", "p, Holm", "p")),
        )
    return Table(
        name="studies",
        title=f"{_name(first)} (A) and {_name(second)} (B)",
        columns=(
            *(Column("architecture", "Architecture"), Column("scenario", "Scenario")),
            *(Column("runs_a", "Runs A", "count"), Column("runs_b", "Runs B", "count")),
            Column("f1_mean_a", "F1 A", "score", std_key="f1_std_a"),
            Column("f1_mean_b", "F1 B", "score", std_key="f1_std_b"),
            Column("difference", "B − A", "score"),
            *figures,
        ),
        rows=tuple(Row(_values(one, p)) for one, p in zip(both, corrected, strict=True)),
        caption=_caption(paired),
        footnotes=tuple(_notes(first, second, names, rows)),
    )


def differences_table(first: Collected, second: Collected) -> Table:
    """Return the facts in which two studies differ: data, split, axes, recipe, environment."""
    facts_of = [dict(_facts(one)) for one in (first, second)]
    names = dict.fromkeys([*facts_of[0], *facts_of[1]])
    rows = [(name, facts_of[0].get(name), facts_of[1].get(name)) for name in names]
    return Table(
        name="studies_differences",
        title="What differs",
        columns=(Column("what", "What"), Column("a", "A"), Column("b", "B")),
        rows=tuple(Row({"what": name, "a": a, "b": b}) for name, a, b in rows if a != b),
        caption="Of the verified cells. What is not named here is the same in both.",
    )


def _test(collected: Collected, first: RowScores | None, second: RowScores | None) -> PairedTest | None:
    """Test second minus first over the folds both have; seeds of a fold are averaged."""
    if first is None or second is None:
        return None
    scores = [_by_fold(row) for row in (first, second)]
    folds = sorted(set(scores[0]) & set(scores[1]))
    if not folds:
        return None
    split = collected.split
    tested = sum(len(split.part(fold, "test").labels) for fold in folds)
    ratio = tested / max(1, sum(split.trained[fold] for fold in folds))
    return corrected_t_test([scores[1][fold] - scores[0][fold] for fold in folds], ratio)


def _by_fold(row: RowScores) -> dict[int, float]:
    """Return the macro score of each fold of a row, the mean over its seeds."""
    found: dict[int, list[float]] = {}
    for cell, value in zip(row.cells, row.by_run(MEASURE).mean(axis=1).tolist(), strict=True):
        found.setdefault(cell.candidate.fold, []).append(value)
    return {fold: float(np.mean(values)) for fold, values in found.items()}


def _p(test: PairedTest | None) -> float | None:
    return test.p if test is not None and test.folds >= LEAST_FOLDS else None


def _values(one: _Both, p_holm: float | None) -> dict[str, Value]:
    values: dict[str, Value] = {"architecture": one.name[0], "scenario": one.name[1], "p_holm": p_holm}
    means: list[float | None] = []
    for side, row in (("a", one.first), ("b", one.second)):
        means.append(None if row is None else row.mean(MEASURE))
        values |= {
            f"runs_{side}": None if row is None else row.runs,
            f"f1_mean_{side}": means[-1],
            f"f1_std_{side}": None if row is None else row.std(MEASURE),
        }
    a, b = means
    test = one.test
    values["difference"] = test.mean if test is not None else None if a is None or b is None else b - a
    enough = test is not None and test.folds >= LEAST_FOLDS
    values |= {
        "ci_low": test.low if test is not None and enough else None,
        "ci_high": test.high if test is not None and enough else None,
        "p": _p(test),
    }
    return values


def _caption(paired: bool) -> str:
    common = "Class-averaged F1 of the test parts, mean ± SD as in each study's table of scores."
    if not paired:
        return (
            f"{common} The studies have different splits, so their test images are not the same: the difference of means "
            "is a description, and no test is made."
        )
    return (
        f"{common} Both have the same split: the difference is the mean over the folds both have, with the corrected "
        f"resampled t-test (Nadeau and Bengio 2003) from {LEAST_FOLDS} folds on, and Holm's correction over the rows."
    )


def _notes(
    first: Collected, second: Collected, names: Sequence[Name], rows: Sequence[dict[Name, RowScores]]
) -> Iterator[Footnote]:
    for side, one, here in (("A", first, rows[0]), ("B", second, rows[1])):
        lacking = [", ".join(name) for name in names if name not in here]
        if lacking:
            yield Footnote("", f"Not planned in {side}: {'; '.join(lacking)}.")
        if one.left_out:
            yield Footnote("", f"{len(one.left_out)} cells of {side} do not count; its report says why.")


def _facts(collected: Collected) -> Iterator[tuple[str, str]]:
    plan, header = collected.plan, collected.header
    yield from (("data fingerprint", header.fingerprint), ("split", header.split), ("target", header.target))
    yield "classes", ", ".join(plan.classes)
    asked = study_summary.question(collected)
    for axis in ("architectures", "scenarios", "folds", "seeds", "rates"):
        yield axis, ", ".join(map(str, getattr(asked, axis)))
    for fact in study_summary.recipe(collected):
        yield f"recipe: {fact.name}", fact.text
    for fact in study_summary.environment(collected):
        if fact.name not in study_summary.PER_STAGE:
            yield f"environment: {fact.name}", fact.text


def _name(collected: Collected) -> str:
    return collected.header.name

"""The comparisons as tables: every figure behind the sentences, and ranks as a description."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from analysis.formats.number_format import Value
from analysis.formats.table import Column, Footnote, Row, Table
from analysis.results.collect import Collected
from analysis.stats.bootstrap import DRAWS
from analysis.stats.class_averages import RowScores
from analysis.stats.comparisons import LEAST_FOLDS, MEASURE, SIGNIFICANT, Comparer, Comparison
from analysis.stats.findings import Finding, limits
from analysis.stats.paired_tests import PairedTest, ranks
from analysis.tables.footnotes import MissingRunNotes, mixed_of
from analysis.tables.scores import LABELS, RUNS

COLUMNS = (
    *(Column("question", "Question"), Column("first", "First"), Column("second", "Second")),
    *(Column("pairs", "Pairs", "count"), Column("folds", "Folds", "count")),
    Column("difference", "Difference", "score"),
    *(Column("ci_low", "95 % from", "score"), Column("ci_high", "95 % to", "score")),
    *(Column("t", "t", "number"), Column("p", "p", "p"), Column("p_holm", "p, Holm", "p")),
    Column("effect_size", "Effect", "number"),
    *(Column("bootstrap_low", "Images from", "score"), Column("bootstrap_high", "Images to", "score")),
    Column("verdict", "Verdict"),
)


NOT_TESTED = PairedTest(0, 0.0)


def comparisons_table(collected: Collected, found: Sequence[Finding]) -> Table:
    """Return all comparisons of all questions."""
    unit = "groups" if collected.split.grouped else "images"
    return Table(
        name="comparisons",
        title="Comparisons",
        columns=COLUMNS,
        rows=tuple(Row(values) for answer in found for values in _comparisons(answer)),
        caption="Difference: mean over folds of first minus second in macro F1 of the test part, seeds of a fold averaged; "
        "of several pairs of rows, their mean in each fold. Interval, t and p: corrected resampled t-test (Nadeau and "
        "Bengio 2003), folds - 1 degrees of freedom, two-sided; the interval is not corrected for the number of comparisons. Holm: corrected over the comparisons of the same "
        "question. Effect: mean difference / its SD over folds. Images: 95 % percentile interval over "
        f"{DRAWS} draws of the test {unit} of each fold, the same draws for both; it says what hangs on the images "
        f"drawn, with the trained nets as they are. Verdict: settled where p, Holm, is below {SIGNIFICANT} and there "
        f"are at least {LEAST_FOLDS} folds.",
        footnotes=(
            *(Footnote("", note) for answer in found for note in (*answer.notes, *_without(answer))),
            *(Footnote("", limit) for limit in limits(collected)),
            *mixed_of(collected),
        ),
    )


def ranks_table(collected: Collected, comparer: Comparer, rows: Sequence[RowScores]) -> Table:
    """Return the mean rank of each row over the folds that all rows with a run have."""
    by_fold = {
        (row.architecture, row.scenario): _fold_means(comparer, (row.architecture, row.scenario)) for row in rows
    }
    ranked = {name: found for name, found in by_fold.items() if found}
    folds = sorted(set.intersection(*map(set, ranked.values()))) if ranked else []
    scores = np.array([[found[fold] for fold in folds] for found in ranked.values()]).reshape(len(ranked), len(folds))
    places = dict(zip(ranked, ranks(scores), strict=True)) if folds else {}
    values: list[dict[str, Value]] = []
    for name in by_fold:
        place = places.get(name)
        values.append(
            {
                "architecture": name[0],
                "scenario": name[1],
                "folds": len(folds) if place is not None else 0,
                "mean_rank": float(place.mean()) if place is not None else None,
                "best_rank": float(place.min()) if place is not None else None,
                "worst_rank": float(place.max()) if place is not None else None,
            }
        )
    return Table(
        name="ranks",
        title="Ranks",
        columns=(
            *LABELS,
            Column("folds", "Folds", "count"),
            Column("mean_rank", "Mean rank", "number"),
            *(Column("best_rank", "Best", "number"), Column("worst_rank", "Worst", "number")),
        ),
        rows=tuple(Row(one) for one in values),
        caption="Rank by macro F1 within each fold, 1 the highest, ties at their mean, over the folds that all rows have. A "
        "description: the folds of one data set are no sample of data sets, so they carry no Friedman test.",
        footnotes=mixed_of(collected),
    )


def intervals_table(collected: Collected, comparer: Comparer, rows: Sequence[RowScores]) -> Table:
    """Return how much the score of each row hangs on the images drawn."""
    gaps, unit = MissingRunNotes.of(rows), "groups" if collected.split.grouped else "images"
    found = []
    for row in rows:
        draws = list(comparer.drawn[row.architecture, row.scenario].values())
        low, high = comparer.resampled.interval(np.mean(draws, axis=0)) if draws else (None, None)
        values: dict[str, Value] = {"architecture": row.architecture, "scenario": row.scenario, "runs": row.runs}
        values |= {"f1_mean": row.mean(MEASURE), "bootstrap_low": low, "bootstrap_high": high}
        found.append(Row(values, gaps.marks(row)))
    return Table(
        name="image_intervals",
        title="What hangs on the images drawn",
        columns=(
            *LABELS,
            RUNS,
            Column("f1_mean", "F1", "score"),
            *(Column("bootstrap_low", "95 % from", "score"), Column("bootstrap_high", "95 % to", "score")),
        ),
        rows=tuple(found),
        caption=f"Mean macro F1 of the runs, with the 95 % percentile interval over {comparer.draws} draws of the test {unit} "
        "of each fold. The trained nets stay as they are: what another training would change is not in it. A class of few "
        "images is absent from some draws and counts 0 there, which pulls the interval down; differences between rows "
        "suffer less from it.",
        footnotes=(*gaps.notes, *mixed_of(collected)),
    )


def _comparisons(answer: Finding) -> Iterator[dict[str, Value]]:
    for one in answer.comparisons:
        test, interval = one.test or NOT_TESTED, one.interval or (None, None)
        yield {
            "question": answer.name,
            "first": one.first,
            "second": one.second,
            "pairs": len(one.pairs),
            "folds": len(one.folds),
            "difference": None if one.test is None else test.mean,
            "ci_low": test.low,
            "ci_high": test.high,
            "t": test.t,
            "p": test.p,
            "p_holm": one.p_holm,
            "effect_size": test.effect,
            "bootstrap_low": interval[0],
            "bootstrap_high": interval[1],
            "verdict": _verdict(one),
        }


def _verdict(one: Comparison) -> str:
    if not one.enough:
        return "not enough folds to tell"
    return "settled" if one.settled else "not settled"


def _without(answer: Finding) -> Iterator[str]:
    for one in answer.comparisons[:1]:
        if one.without:
            named = "; ".join(f"{', '.join(first)} against {', '.join(second)}" for first, second in one.without)
            yield f"{answer.question} No fold in common, so left out: {named}."


def _fold_means(comparer: Comparer, name: tuple[str, str]) -> dict[int, float]:
    by_fold: dict[int, list[float]] = {}
    for (fold, _), value in comparer.scores[name].items():
        by_fold.setdefault(fold, []).append(float(value[0]))
    return {fold: float(np.mean(found)) for fold, found in by_fold.items()}

"""The comparisons as tables: statistics behind the findings, bootstrap intervals, and ranks as a description."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from analysis.formats.number_format import Value
from analysis.formats.table import Column, Footnote, Row, Table
from analysis.registry.report_entry import report_entry
from analysis.results.collect import Collected
from analysis.stats.bootstrap import DRAWS
from analysis.stats.class_averages import RowScores
from analysis.stats.comparisons import LEAST_FOLDS, MEASURE, SIGNIFICANT, Comparison, fold_means
from analysis.stats.findings import Finding, limits
from analysis.stats.paired_tests import PairedTest, ranks
from analysis.stats.report_data import ReportData
from analysis.tables.registry import TABLES
from analysis.tables.study_rows import LABELS, RUNS, RowValues, mixed_environments, study_notes, study_rows

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


@TABLES.register("comparisons")
@report_entry("comparisons", place=10)
def report_comparisons(data: ReportData) -> Table:
    """Return the comparisons of all findings of a report."""
    return comparisons_table(data.collected, data.findings)


def comparisons_table(collected: Collected, findings: Sequence[Finding]) -> Table:
    """Return the comparisons of some findings.

    Args:
        collected: the study.
        findings: in the order of the table.
    """
    unit = _bootstrap_unit(collected)
    return Table(
        title="Comparisons",
        columns=COLUMNS,
        rows=tuple(Row(values) for finding in findings for values in _comparisons(finding)),
        caption="Difference: mean over folds of first minus second in macro F1 of the test part, seeds of a fold averaged; "
        "of several pairs of rows, their mean in each fold. Interval, t and p: corrected resampled t-test (Nadeau and "
        "Bengio 2003), folds - 1 degrees of freedom, two-sided; the interval is not corrected for the number of comparisons. Holm: corrected over the comparisons of the same "
        "question. Effect: mean difference / its SD over folds. Images: 95 % percentile interval over "
        f"{DRAWS} draws of the test {unit} of each fold, the same draws for both; the uncertainty from "
        f"the test images, with the trained nets as they are. Verdict: settled where p, Holm, is below {SIGNIFICANT} and there "
        f"are at least {LEAST_FOLDS} folds.",
        footnotes=(
            *(Footnote("", note) for finding in findings for note in (*finding.notes, *_without(finding))),
            *(Footnote("", limit) for limit in limits(collected)),
            *mixed_environments(collected),
        ),
    )


@TABLES.register("image_intervals")
@report_entry("comparisons", place=20)
def intervals_table(data: ReportData) -> Table:
    """Return the bootstrap interval of the score of each row: its uncertainty due to the finite test set."""
    comparer, unit = data.comparer, _bootstrap_unit(data.collected)

    def interval(row: RowScores) -> list[RowValues]:
        draws = list(comparer.draw_scores[row.row].values())
        low, high = comparer.resampled.interval(np.mean(draws, axis=0)) if draws else (None, None)
        return [{"f1_mean": row.mean(MEASURE), "bootstrap_low": low, "bootstrap_high": high}]

    return Table(
        title="Uncertainty from the test images (bootstrap)",
        columns=(
            *LABELS,
            RUNS,
            Column("f1_mean", "F1", "score"),
            *(Column("bootstrap_low", "95 % from", "score"), Column("bootstrap_high", "95 % to", "score")),
        ),
        rows=study_rows(data, interval),
        caption=f"Mean macro F1 of the runs, with the 95 % percentile interval over {comparer.draws} draws of the test {unit} "
        "of each fold. The trained nets stay as they are: what another training would change is not in it. A class of few "
        "images is absent from some draws and counts 0 there, which pulls the interval down; differences between rows "
        "suffer less from it.",
        footnotes=study_notes(data),
    )


@TABLES.register("ranks")
@report_entry("comparisons", place=30)
def ranks_table(data: ReportData) -> Table:
    """Return the mean rank of each row over the folds that all rows with a run have."""
    scores = data.comparer.scores
    of_rows = {row.row: fold_means({run: float(f1[0]) for run, f1 in scores[row.row].items()}) for row in data.rows}
    ranked = {row: found for row, found in of_rows.items() if found}
    folds = sorted(set.intersection(*map(set, ranked.values()))) if ranked else []
    by_fold = np.array([[found[fold] for fold in folds] for found in ranked.values()]).reshape(len(ranked), len(folds))
    places = dict(zip(ranked, ranks(by_fold), strict=True)) if folds else {}
    rows = []
    for architecture, scenario in of_rows:
        place = places.get((architecture, scenario))
        values: dict[str, Value] = {"architecture": architecture, "scenario": scenario, "folds": 0}
        values |= dict.fromkeys(("mean_rank", "best_rank", "worst_rank"))
        if place is not None:
            values |= {"folds": len(folds), "mean_rank": float(place.mean())}
            values |= {"best_rank": float(place.min()), "worst_rank": float(place.max())}
        rows.append(Row(values))
    return Table(
        title="Ranks",
        columns=(
            *LABELS,
            Column("folds", "Folds", "count"),
            Column("mean_rank", "Mean rank", "number"),
            *(Column("best_rank", "Best", "number"), Column("worst_rank", "Worst", "number")),
        ),
        rows=tuple(rows),
        caption="Rank by macro F1 within each fold, 1 the highest, ties at their mean, over the folds that all rows have. A "
        "description: the folds of one data set are no sample of data sets, so they carry no Friedman test.",
        footnotes=mixed_environments(data.collected),
    )


def _bootstrap_unit(collected: Collected) -> str:
    return "groups" if collected.split.grouped else "images"


def _comparisons(finding: Finding) -> Iterator[RowValues]:
    for one in finding.comparisons:
        test, interval = one.test or NOT_TESTED, one.interval or (None, None)
        yield {
            "question": finding.name,
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


def _without(finding: Finding) -> Iterator[str]:
    for one in finding.comparisons[:1]:
        if one.without:
            named = "; ".join(f"{', '.join(first)} against {', '.join(second)}" for first, second in one.without)
            yield f"{finding.question} No fold in common, so left out: {named}."

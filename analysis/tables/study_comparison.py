"""Two studies row by row: tested, paired over folds, if they have the same split; otherwise only described."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from analysis.formats.number_format import Value
from analysis.formats.table import Column, Footnote, Row, Table
from analysis.results.collect import Collected
from analysis.results.plan_file import RowName
from analysis.results.split import StoredSplit
from analysis.stats import study_summary
from analysis.stats.class_averages import RowScores, row_scores
from analysis.stats.comparisons import LEAST_FOLDS, MEASURE, fold_means
from analysis.stats.paired_tests import PairedTest, corrected_t_test, holm

Rows = Mapping[RowName, RowScores]


@dataclass(frozen=True)
class _RowOfBoth:
    """A row that at least one of the two studies has."""

    name: RowName
    first: RowScores | None
    second: RowScores | None
    test: PairedTest | None

    @property
    def conclusive(self) -> PairedTest | None:
        """The test, if it has enough folds."""
        return self.test if self.test is not None and self.test.folds >= LEAST_FOLDS else None


def scores_side_by_side(first: Collected, second: Collected) -> Table:
    """Return macro F1 of each row in both studies, with the difference second minus first.

    Args:
        first: study A.
        second: study B.
    """
    split = first.split if first.header.split == second.header.split and first.split.fault is None else None
    rows_a, rows_b = ({row.row: row for row in row_scores(study)} for study in (first, second))
    rows = [_row_of_both(name, rows_a, rows_b, split) for name in dict.fromkeys([*rows_a, *rows_b])]
    corrected = holm([one.conclusive.p if one.conclusive is not None else None for one in rows])
    tests = (
        *(Column("ci_low", "95 % from", "score"), Column("ci_high", "95 % to", "score")),
        *(Column("p", "p", "p"), Column("p_holm", "p, Holm", "p")),
    )
    return Table(
        name="studies",
        title=f"{first.header.name} (A) and {second.header.name} (B)",
        columns=(
            *(Column("architecture", "Architecture"), Column("scenario", "Scenario")),
            *(Column("runs_a", "Runs A", "count"), Column("runs_b", "Runs B", "count")),
            Column("f1_mean_a", "F1 A", "score", std_key="f1_std_a"),
            Column("f1_mean_b", "F1 B", "score", std_key="f1_std_b"),
            Column("difference", "B − A", "score"),
            *(tests if split is not None else ()),
        ),
        rows=tuple(Row(_values(one, p)) for one, p in zip(rows, corrected, strict=True)),
        caption=_caption(paired=split is not None),
        footnotes=(*_notes("A", first, rows_a, rows_b), *_notes("B", second, rows_b, rows_a)),
    )


def differences_table(first: Collected, second: Collected) -> Table:
    """Return the settings in which two studies differ: data, split, axes, recipe, environment.

    Args:
        first: study A.
        second: study B.
    """
    settings_a, settings_b = (dict(_settings(study)) for study in (first, second))
    names = dict.fromkeys([*settings_a, *settings_b])
    rows = [(name, settings_a.get(name), settings_b.get(name)) for name in names]
    return Table(
        name="studies_differences",
        title="What differs",
        columns=(Column("what", "What"), Column("a", "A"), Column("b", "B")),
        rows=tuple(Row({"what": name, "a": a, "b": b}) for name, a, b in rows if a != b),
        caption="Of the verified cells. What is not named here is the same in both.",
    )


def _row_of_both(name: RowName, rows_a: Rows, rows_b: Rows, split: StoredSplit | None) -> _RowOfBoth:
    first, second, test = rows_a.get(name), rows_b.get(name), None
    if split is not None and first is not None and second is not None:
        scores_a, scores_b = _by_fold(first), _by_fold(second)
        if folds := sorted(set(scores_a) & set(scores_b)):
            differences = [scores_b[fold] - scores_a[fold] for fold in folds]
            test = corrected_t_test(differences, split.test_train_ratio(folds))
    return _RowOfBoth(name, first, second, test)


def _by_fold(row: RowScores) -> dict[int, float]:
    """Return the macro score of each fold of a row, averaged over its seeds."""
    runs = [(cell.candidate.fold, cell.candidate.seed) for cell in row.cells]
    return fold_means(dict(zip(runs, row.by_run(MEASURE).mean(axis=1).tolist(), strict=True)))


def _values(one: _RowOfBoth, p_holm: float | None) -> dict[str, Value]:
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
    described = None if a is None or b is None else b - a
    values["difference"] = described if one.test is None else one.test.mean
    test = one.conclusive or PairedTest(0, 0.0)
    return values | {"ci_low": test.low, "ci_high": test.high, "p": test.p}


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


def _notes(side: str, study: Collected, own: Rows, others: Rows) -> Iterator[Footnote]:
    lacking = [", ".join(name) for name in others if name not in own]
    if lacking:
        yield Footnote("", f"Not planned in {side}: {'; '.join(lacking)}.")
    if study.left_out:
        yield Footnote("", f"{len(study.left_out)} cells of {side} do not count; its report says why.")


def _settings(collected: Collected) -> Iterator[tuple[str, str]]:
    plan, header = collected.plan, collected.header
    yield from (("data fingerprint", header.fingerprint), ("split", header.split), ("target", header.target))
    yield "classes", ", ".join(plan.classes)
    design = study_summary.design(collected)
    for axis in ("architectures", "scenarios", "folds", "seeds", "rates"):
        yield axis, ", ".join(map(str, getattr(design, axis)))
    for setting in study_summary.recipe(collected):
        yield f"recipe: {setting.name}", setting.text
    for setting in study_summary.environment(collected):
        if setting.name not in study_summary.PER_STAGE:
            yield f"environment: {setting.name}", setting.text

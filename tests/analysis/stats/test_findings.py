"""Questions by name: which rows they pair, what they say, and when they say that they cannot tell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from analysis.results.collect import collect
from analysis.stats.class_averages import row_scores
from analysis.stats.comparisons import Comparer, Comparison
from analysis.stats.findings import Finding, all_findings, limits
from analysis.stats.paired_tests import corrected_t_test
from tests.analysis.support.full_size import CLASSES, write_full_size
from trainables.store.storage import Storage
from trainables.store.study import Study


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Two architectures × six scenarios × five folds, on few images in groups."""
    made = Study(Storage(tmp_path_factory.mktemp("questions") / "study"))
    write_full_size(made, scale=0.005, architectures=("resnet152", "vit_l_32"), grouped=True)
    return made


def comparer(study: Study) -> Comparer:
    collected = collect(study)
    return Comparer(collected, row_scores(collected), draws=200)


def by_name(study: Study, **options: Any) -> dict[str, Finding]:
    return {answer.name: answer for answer in all_findings(comparer(study), **options)}


def test_imagenet_pairs_scenarios_alike_but_for_their_start(study: Study) -> None:
    answer = by_name(study)["imagenet"]
    head, *details = answer.comparisons
    assert {(a[1], b[1]) for a, b in head.pairs} == {
        ("ImageNet", "Random"),
        ("ImageNet+PCam", "PCam"),
        ("ImageNet+CD", "CD"),
    }
    assert len(head.pairs) == len(details) == 6
    assert answer.question == "Does ImageNet help?"
    assert answer.sentence.startswith("Settled by these folds: starting from ImageNet, macro F1 is higher by 0.")
    assert "after Holm over 7 comparisons" in answer.sentence
    assert head.settled


def test_the_figures_are_those_of_the_fold_scores(study: Study) -> None:
    one = comparer(study)
    answer = {found.name: found for found in all_findings(one)}["imagenet"]
    head = answer.comparisons[0]
    by_fold = [
        np.mean([(one.scores[a][fold, 0] - one.scores[b][fold, 0])[0] for a, b in head.pairs]) for fold in range(5)
    ]
    split = one.collected.split
    tested = sum(len(split.part(fold, "test").labels) for fold in range(5))
    expected = corrected_t_test(by_fold, tested / sum(split.train_images.values()))
    assert head.test is not None
    assert [head.test.mean, head.test.p] == pytest.approx([expected.mean, expected.p])
    assert head.interval is not None
    assert head.interval[0] < head.test.mean < head.interval[1]
    uncorrected = [found.test.p for found in answer.comparisons if found.test is not None]
    corrected = multipletests(uncorrected, method="holm")[1].tolist()
    assert [found.p_holm for found in answer.comparisons] == pytest.approx(corrected)


def test_domains_come_from_names_from_the_grid_or_from_the_caller(study: Study, tmp_path: Path) -> None:
    answer = by_name(study)["domain"]
    assert {(a[1], b[1]) for a, b in answer.comparisons[0].pairs} == {("PCam", "CD"), ("ImageNet+PCam", "ImageNet+CD")}
    assert answer.notes[1] == "pcam counts as in-domain (taken from its name, the grid does not say)."
    turned = by_name(study, domains={"pcam": "out", "cats_vs_dogs": "in"})["domain"]
    assert answer.comparisons[0].test is not None
    assert turned.comparisons[0].test is not None
    assert turned.comparisons[0].test.mean == pytest.approx(-answer.comparisons[0].test.mean)


def test_an_answer_names_the_pairs_that_point_the_other_way(study: Study) -> None:
    one = comparer(study)
    mean_f1 = {name: float(np.mean([value[0] for value in runs.values()])) for name, runs in one.scores.items()}
    for answer in all_findings(one):
        head = answer.comparisons[0]
        assert head.test is not None
        against = [(a, b) for a, b in head.pairs if (mean_f1[a] - mean_f1[b]) * head.test.mean < 0]
        assert list(head.against) == against
        assert (f"The other way round in {len(against)} of the {len(head.pairs)} pairs" in answer.sentence) == bool(
            against
        )
    mixed = one.tested(Comparison("a", "b", ((best(mean_f1), worst(mean_f1)), (worst(mean_f1), second(mean_f1)))))
    assert len(mixed.against) == 1


def best(scores: dict[tuple[str, str], float]) -> tuple[str, str]:
    return max(scores, key=scores.__getitem__)


def worst(scores: dict[tuple[str, str], float]) -> tuple[str, str]:
    return min(scores, key=scores.__getitem__)


def second(scores: dict[tuple[str, str], float]) -> tuple[str, str]:
    return sorted(scores, key=scores.__getitem__)[-2]


def test_architectures_are_compared_over_the_scenarios_both_have(study: Study) -> None:
    answer = by_name(study)["architecture"]
    (only,) = answer.comparisons
    assert {only.first, only.second} == {"resnet152", "vit_l_32"}
    assert len(only.pairs) == 6
    assert "(30 runs)" in answer.notes[0]


def test_missing_folds_leave_every_side_of_a_comparison(study: Study, tmp_path: Path) -> None:
    """Two folds of one row are gone: pairs with it have three folds, and the mean over pairs has the same three."""
    one = comparer(study)
    runs = {
        name: {run: value for run, value in found.items() if not (name == ("vit_l_32", "PCam") and run[0] in (0, 3))}
        for name, found in one.scores.items()
    }
    one.__dict__["scores"] = runs
    found = {answer.name: answer for answer in all_findings(one)}["domain"].comparisons
    assert [comparison.folds for comparison in found if ("vit_l_32", "PCam") in {a for a, _ in comparison.pairs}] == [
        (1, 2, 4),
        (1, 2, 4),
    ]
    assert found[1].folds == (0, 1, 2, 3, 4)


def test_a_pair_without_a_common_fold_is_left_out_and_named(study: Study) -> None:
    one = comparer(study)
    one.__dict__["scores"] = {name: ({} if name == ("vit_l_32", "CD") else runs) for name, runs in one.scores.items()}
    head = {answer.name: answer for answer in all_findings(one)}["domain"].comparisons[0]
    assert head.without == ((("vit_l_32", "PCam"), ("vit_l_32", "CD")),)
    assert len(head.pairs) == 3
    assert len(head.folds) == 5


def test_two_folds_are_not_enough(study: Study) -> None:
    one = comparer(study)
    one.__dict__["scores"] = {
        name: {run: value for run, value in runs.items() if run[0] < 2} for name, runs in one.scores.items()
    }
    answer = {found.name: found for found in all_findings(one)}["imagenet"]
    assert answer.sentence.startswith("Not enough folds to tell (2; at least 3 are needed): ")
    assert not any(comparison.settled for comparison in answer.comparisons)
    assert {comparison.p_holm for comparison in answer.comparisons} == {None}
    assert "after Holm" not in answer.sentence


def test_seeds_of_a_fold_are_no_further_folds(study: Study) -> None:
    one = comparer(study)
    doubled = {
        name: {**runs, **{(fold, 1): value + 0.01 for (fold, _), value in runs.items()}}
        for name, runs in one.scores.items()
    }
    one.__dict__["scores"], one.__dict__["draw_scores"] = doubled, doubled
    found = one.tested(Comparison("a", "b", ((("vit_l_32", "ImageNet"), ("vit_l_32", "Random")),)))
    assert found.test is not None
    assert found.test.folds == 5


def test_without_a_grid_nothing_is_guessed(small: Any) -> None:
    (small.root / "grid.yaml").unlink()
    found = by_name(small.study)
    assert "which scenario is which cannot be told" in found["imagenet"].sentence
    assert "grid.yaml is missing" in found["domain"].sentence
    assert found["architecture"].comparisons


def test_what_a_study_does_not_ask_is_not_answered(small: Any) -> None:
    found = by_name(small.study)
    assert found["imagenet"].sentence.startswith("Not asked by this study: ")
    assert found["domain"].sentence.startswith("Not asked by this study: ")


def test_limits_name_patients_and_shared_pre_training(small: Any, study: Study) -> None:
    said = " ".join(limits(collect(small.study)))
    assert "No groups are known" in said
    assert "One pre-training draw is shared" in said
    assert "No groups" not in " ".join(limits(collect(study)))
    assert len(CLASSES) == 21

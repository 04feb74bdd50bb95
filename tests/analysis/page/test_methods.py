"""The methods paragraph."""

from __future__ import annotations

from typing import Any

import pyarrow.parquet as pq

from analysis.page.methods import methods, split_proof
from analysis.results.collect import collect
from tests.analysis.support import rich_study


def test_methods_say_what_a_paper_must(small: Any) -> None:
    collected = collect(small.study)
    proof = split_proof(small.study, collected)
    assert (
        proof
        == "no groups are given: 0 of 144 images shared between train, val and test, 3 folds; every image tested once"
    )
    text = methods(collected, proof)
    for said in (
        "2 architectures (resnet18, vit_b_32) and 2 scenarios of initial weights (Random, PCam)",
        "(4 classes, 144 images) by 3-fold cross-validation, with 1 seed (0)",
        "2 pre-trainings served all folds",
        f"Checked on the table of the split: {proof}.",
        "Fine-tuning: SGD (momentum 0.9, weight decay 0.0001), 20 epochs, batch 32, constant learning rate, images of 224 px.",
        "highest macro F1 on val (val f1_macro)",
        "within architecture, scenario, fold and seed, from 2 rates; the lower on a tie.",
        "Software: torch 2.14.",
        "It ran on cpu, precision float32.",
    ):
        assert said in text


def test_methods_of_a_part_say_how_much_counts(small: Any) -> None:
    small.fail("vit_b_32-PCam-f0-r0.02", "ValueError", "too hot")
    collected = collect(small.study)
    text = methods(collected, split_proof(small.study, collected))
    assert "Of 24 planned fine-tuning runs 23 count." in text
    assert "from 1 or 2 rates" in text


def test_methods_of_range_tests(small: Any) -> None:
    rich_study.add_range_tests(small)
    text = methods(collect(small.study), "")
    assert (
        "Start rates came from 2 learning-rate range tests (Smith 2017), 0.0001 to 0.1 in 60 exponential steps on the val loss; "
        "1 by the rule steepest, 1 by the rule fallback."
    ) in text
    assert "Checked on" not in text
    assert "shared by folds" not in text


def test_a_split_that_breaks_its_promise_is_said(small: Any) -> None:
    collected = collect(small.study)
    (file,) = (small.root / "splits").iterdir()
    pq.write_table(pq.read_table(file).slice(1), file)
    assert "the split is not valid: an image is missing or repeated" in split_proof(small.study, collected)


def test_methods_without_anything(small: Any) -> None:
    (small.root / "stages").rename(small.root / "gone")
    next((small.root / "splits").iterdir()).unlink()
    collected = collect(small.study)
    text = methods(collected, split_proof(small.study, collected))
    assert "Of 24 planned fine-tuning runs 0 count." in text
    assert "The split could not be read." in text

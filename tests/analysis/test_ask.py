"""Questions and pairs from the command line."""

from __future__ import annotations

from typing import Any

import pytest

from analysis.ask import main


def test_a_question_by_name(small: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(small.root), "architecture", "domain"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("Which architecture? ")
    assert "In-domain or out-of-domain pre-training? Not asked by this study" in out
    assert "after Holm" not in out  # one comparison is no family


def test_pairs_are_one_family(small: Any, capsys: pytest.CaptureFixture[str]) -> None:
    pairs = ["--pair", "resnet18,PCam", "resnet18,Random", "--pair", "vit_b_32,PCam", "vit_b_32,Random"]
    assert main([str(small.root), *pairs]) == 0
    out = capsys.readouterr().out
    assert out.count("after Holm over 2 comparisons") == 2
    assert "with resnet18, PCam, macro F1 is" in out
    assert "than with vit_b_32, Random" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give a question"),
        (["imagnet"], "did you mean imagenet?"),
        (["--pair", "resnet18,PCam", "resnet18,Rndom"], "--pair resnet18,Rndom"),
        (["--pair", "resnet18,PCam", "resnet18, PCam"], "twice the same row"),
        (["domain", "--in-domain", "pcm"], "no scenario pre-trains on pcm"),
    ],
)
def test_mistakes_are_named(
    finished: Any, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(finished.root), *arguments]) == 2
    assert message in capsys.readouterr().err

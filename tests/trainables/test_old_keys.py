"""Stages and hashes of commit f28a3ea: studies made by it must be found done by every later version."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trainables.errors import UserError
from trainables.hashing import canonical, derive_seed, digest, readable, tidy_rate
from trainables.specs import Stage

OLD = json.loads((Path(__file__).parents[1] / "fixtures/keys_f28a3ea.json").read_text(encoding="utf-8"))
HASHES: dict[str, Callable[[Any], Any]] = {
    "derive_seed": lambda parts: derive_seed(*parts),
    "tidy_rate": tidy_rate,
    "readable": readable,
}


@pytest.mark.parametrize("old", OLD["stages"], ids=lambda old: old["case"])
def test_a_stage_keeps_its_key_folder_and_identity(old: dict[str, Any]) -> None:
    stage = Stage.from_document(old["document"])
    assert stage.key == old["document"]["key"]
    assert digest(stage.identity()) == old["identity_sha256"]
    assert (stage.folder if stage.key else None) == old["folder"]
    labels = {name: getattr(stage, name) for name in ("name", "architecture", "scenario")}
    assert labels == {name: old["document"][name] for name in labels}


def test_the_cases_cover_every_kind_start_and_later_field() -> None:
    """Guards the test above against a fixture that lost its cases."""
    documents = [old["document"] for old in OLD["stages"]]
    assert len({document["key"] for document in documents}) > 50
    assert {(d["kind"], d["initial"]["source"]) for d in documents} >= {
        (kind, source)
        for kind in ("finetune", "pretrain", "lr_range")
        for source in ("random", "file", "stage", "stand_in")
    }
    assert any(d["recipe"]["micro_batch"] and d["recipe"]["compile"] for d in documents)
    assert any(d["found_rate"] for d in documents)
    assert sum(d["key"] is None for d in documents) == 5


@pytest.mark.parametrize("old", OLD["hashes"]["digest"], ids=lambda old: old["canonical"])
def test_a_digest_stays(old: dict[str, Any]) -> None:
    assert canonical(old["input"]) == old["canonical"]
    assert digest(old["input"]) == old["value"]


@pytest.mark.parametrize("name", HASHES)
def test_seeds_rates_and_readable_names_stay(name: str) -> None:
    cases = OLD["hashes"][name]
    assert len(cases) >= 30
    assert [HASHES[name](case["input"]) for case in cases] == [case["value"] for case in cases]


@pytest.mark.parametrize("rate", OLD["hashes"]["refused_rates"])
def test_a_refused_rate_is_still_refused(rate: float) -> None:
    with pytest.raises(UserError, match="must be a positive number"):
        tidy_rate(rate)

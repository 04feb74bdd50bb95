"""Stages that several tests look at, run once."""

from __future__ import annotations

import pytest

from tests.trainables.support.stage_bench import Bench, Ran, run


@pytest.fixture(scope="session")
def finetuned(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """A cell from random weights. Not to be changed."""
    return run(bench.stage(), bench.study(tmp_path_factory.mktemp("my study")), bench.runtime)


@pytest.fixture(scope="session")
def pretrained(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """A pre-training. Not to be changed; other stages may be run in its study."""
    return run(bench.stage("pretrain"), bench.study(tmp_path_factory.mktemp("studies")), bench.runtime)

"""Who holds a study."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from queue import Queue

import pytest

from sweep.engine import study_lock as leases
from sweep.engine.study_lock import HeldError, study_lock
from trainables.errors import UserError
from trainables.store import layout
from trainables.store.storage import Storage
from trainables.store.study import Study


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return Study(Storage(tmp_path / "a study é"))


def holder(study: Study) -> Path:
    return Path(study.storage.path(layout.DRIVER))


def test_a_second_driver_is_refused_and_told_who_holds_it(study: Study) -> None:
    with study_lock(study):
        assert json.loads(holder(study).read_text())["process"] == os.getpid()
        with pytest.raises(HeldError, match=rf"process {os.getpid()} on .*, since 2\d\d\d-"), study_lock(study):
            pytest.fail("held twice")
        assert holder(study).exists(), "the refused one leaves the holder's name"
    assert not holder(study).exists()
    with study_lock(study):
        pass


def test_an_error_within_gives_the_study_back(study: Study) -> None:
    with pytest.raises(KeyError), study_lock(study):
        raise KeyError
    with study_lock(study):
        pass


def test_the_lease_of_a_driver_that_was_killed_is_free_at_once(study: Study) -> None:
    script = """
import os, signal, sys
from sweep.engine import study_lock as leases
from sweep.engine.study_lock import study_lock
from trainables.store.storage import Storage
from trainables.store.study import Study
with study_lock(Study(Storage(sys.argv[1]))):
    os.kill(os.getpid(), signal.SIGKILL)
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    killed = subprocess.run([sys.executable, "-c", script, study.storage.location], env=environment, timeout=60)
    assert killed.returncode == -9
    assert json.loads(holder(study).read_text())["process"] != os.getpid()
    with study_lock(study):
        assert json.loads(holder(study).read_text())["process"] == os.getpid()


@pytest.mark.parametrize("again", [False, True], ids=["deleted", "and another began"])
def test_a_lock_that_was_deleted_is_noticed_at_the_next_beat(
    study: Study, again: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "RENEW_SECONDS", 0.1)
    told = Queue[str]()
    with study_lock(study, told.put):
        Path(study.storage.path(".driver.lock")).unlink()
        if again:
            with study_lock(study):
                assert "was deleted while this driver held it" in told.get(timeout=10)
        else:
            assert "was deleted while this driver held it" in told.get(timeout=10)
    assert told.empty(), "it is said once"


@pytest.mark.parametrize("content", ["", "{", "{}", "[]", '{"since": "x"}'])
def test_a_holder_that_cannot_be_read_is_still_a_holder(study: Study, content: str) -> None:
    with study_lock(study):
        holder(study).write_text(content)
        with pytest.raises(HeldError, match="held by another driver"), study_lock(study):
            pytest.fail("held twice")


def test_a_place_that_cannot_be_written_is_a_user_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match="cannot write to"), study_lock(Study(Storage(tmp_path / "file/study"))):
        pytest.fail("held")

"""Who holds a study on an object store: leases by conditional puts, and by time where there are none, on a real server."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("moto.server")
from sweep.engine import study_lock as leases
from sweep.engine.study_lock import HeldError, study_lock
from tests.s3_double import BUCKET, S3Double, s3_double
from trainables.store import layout
from trainables.store.conditional_file import ConditionalFile
from trainables.store.storage import Storage
from trainables.store.study import Study

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Double]:
    with s3_double(tmp_path_factory.mktemp("s3")) as double:
        yield double


@pytest.fixture(params=["conditional puts", "by time"])
def quick(server: S3Double, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """Leases that end after seconds, of both kinds. (The server's times are whole seconds.)"""
    server.lead(monkeypatch)
    monkeypatch.setattr(leases, "RENEW_SECONDS", 0.3)
    monkeypatch.setattr(leases, "STALE_SECONDS", 3.0)
    monkeypatch.setattr(leases, "LONGEST_TAKE", 1.0)
    monkeypatch.setattr(leases, "SETTLE_SECONDS", 1.5)
    if request.param == "by time":
        monkeypatch.setattr(leases, "conditional_file", lambda _: None)
    return f"{request.param.replace(' ', '-')}"


def elsewhere(study: Study, **fields: Any) -> None:
    holder = {"host": "far", "process": 7, "since": time.time(), "machine": "another", "born": "1", "token": "theirs"}
    study.storage.write_json(layout.DRIVER, {**holder, **fields})


def test_the_lease_of_a_dead_driver_elsewhere_ends(quick: str) -> None:
    study = Study(Storage(f"s3://{BUCKET}/dead-{quick}"))
    elsewhere(study)
    with pytest.raises(HeldError, match=r"process 7 on far, since .* the lease expires after 3 s"), study_lock(study):
        pytest.fail("held twice")
    time.sleep(4.1)
    with study_lock(study):
        assert study.storage.read_json(layout.DRIVER)["process"] == os.getpid()
    assert study.storage.names() == [], "neither the holder nor a probe is left"


def test_a_holder_that_lives_keeps_the_study(quick: str) -> None:
    study = Study(Storage(f"s3://{BUCKET}/alive-{quick}"))
    with study_lock(study):
        time.sleep(4.1)
        with pytest.raises(HeldError, match=f"process {os.getpid()} on"), study_lock(study):
            pytest.fail("held twice")
    with study_lock(study):
        pass


def test_one_that_was_taken_over_is_told_and_leaves_the_other_alone(quick: str) -> None:
    study, told = Study(Storage(f"s3://{BUCKET}/taken-{quick}")), threading.Event()
    with study_lock(study, lambda why: told.set() if "process 7 on far" in why else None):
        elsewhere(study)
        assert told.wait(10)
    assert study.storage.read_json(layout.DRIVER)["machine"] == "another"


def test_of_two_that_take_it_at_once_one_has_it(quick: str, monkeypatch: pytest.MonkeyPatch) -> None:
    study, had, refused = Study(Storage(f"s3://{BUCKET}/both-{quick}")), [], []
    both, ended = threading.Barrier(2), threading.Barrier(2)
    monkeypatch.setattr(leases, "_refuse_if_held", lambda _: both.wait(10) and None)

    def take() -> None:
        try:
            with study_lock(study):
                had.append(1)
                ended.wait(20)
        except HeldError:
            refused.append(1)
            ended.wait(20)

    takers = [threading.Thread(target=take) for _ in range(2)]
    for taker in takers:
        taker.start()
    for taker in takers:
        taker.join(40)
    assert (len(had), len(refused)) == (1, 1)


def test_of_two_with_a_slow_first_put_one_has_it(quick: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one finds the study free, and its put arrives when the other has settled: neither may hold what the other does."""
    study, had, refused = Study(Storage(f"s3://{BUCKET}/slow-{quick}")), [], []
    checked, write = threading.Event(), Storage.write
    put = ConditionalFile.write

    def late() -> None:
        if threading.current_thread().name == "slow" and not checked.is_set():
            checked.set()
            time.sleep(4.0)  # longer than the other settles

    def slow_write(self: Storage, name: str, content: bytes) -> Any:
        if name == layout.DRIVER:
            late()
        return write(self, name, content)

    def slow_put(self: ConditionalFile, content: bytes, tag: str | None) -> str | None:
        late()
        return put(self, content, tag)

    monkeypatch.setattr(Storage, "write", slow_write)
    monkeypatch.setattr(ConditionalFile, "write", slow_put)
    holding, ended = [0], threading.Event()

    def take() -> None:
        try:
            with study_lock(study):
                holding[0] += 1
                had.append(holding[0])
                ended.wait(8)
                holding[0] -= 1
        except HeldError as error:
            refused.append(str(error))

    slow, quicker = threading.Thread(target=take, name="slow"), threading.Thread(target=take)
    slow.start()
    assert checked.wait(20)
    quicker.start()
    slow.join(40)
    ended.set()
    quicker.join(40)
    assert max(had) == 1, "held twice"
    assert len(had) + len(refused) == 2


def test_a_lease_that_was_deleted_is_noticed(quick: str) -> None:
    study, told = Study(Storage(f"s3://{BUCKET}/deleted-{quick}")), threading.Event()
    with study_lock(study, lambda why: told.set() if "deleted" in why else None):
        study.storage.remove(layout.DRIVER)
        assert told.wait(10)
    assert study.storage.names() == []

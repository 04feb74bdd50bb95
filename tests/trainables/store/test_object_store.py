"""The storage on S3: against moto's server, a process of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("moto")
from tests.s3_double import BUCKET, S3Double, s3_double
from tests.trainables.support.stage_bench import Bench
from trainables.errors import LostError, StorageError, UserError
from trainables.stage.run import run_stage
from trainables.store.storage import Storage
from trainables.store.study import Study


@pytest.fixture
def s3(server: S3Double, monkeypatch: pytest.MonkeyPatch) -> S3Double:
    """A server with its bucket, empty, and an environment that leads to it."""
    server.lead(monkeypatch)
    return server


@pytest.fixture
def storage(s3: S3Double, request: pytest.FixtureRequest) -> Storage:
    return Storage(f"s3://{BUCKET}/{request.node.name.partition('[')[0]}")


def test_what_was_written_is_read_listed_and_removed(storage: Storage) -> None:
    assert not storage.exists("a")
    assert storage.names() == []
    assert storage.files() == set()
    storage.write("a/b é.json", b"1")
    storage.write("a/b é.json", b"2")
    assert storage.read("a/b é.json") == b"2"
    assert storage.exists("a")
    assert storage.names("a") == ["b é.json"]
    assert storage.files() == {"a/b é.json"}
    storage.remove("a/b é.json")
    assert storage.files() == set()
    with pytest.raises(FileNotFoundError):
        storage.read("a/b é.json")


def test_a_small_file_is_one_request(storage: Storage, s3: S3Double) -> None:
    storage.write("small.json", b"{}")
    assert s3.requests("small.json", "PUT") == 1
    assert s3.requests("small.json", "POST") == 0


def test_a_large_file_goes_and_comes_whole(storage: Storage, tmp_path: Path) -> None:
    content = bytes(range(256)) * 100_000
    (tmp_path / "there").write_bytes(content)
    sent = storage.upload(tmp_path / "there", "large")
    assert storage.download("large", tmp_path / "back") == sent
    assert (tmp_path / "back").read_bytes() == content
    with pytest.raises(FileNotFoundError):
        storage.download("absent", tmp_path / "back")


def test_another_place_than_amazons_stands_in_the_uri(s3: S3Double, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    child = Storage(s3.uri).child("a study")
    child.write("study.json", b"1")
    assert Storage(child.location).read("study.json") == b"1", "another process opens the same"
    assert Storage(child.parent).names() == ["a study"]
    assert child.name == "a study"
    assert child.path("study.json") == s3.uri.replace("?", "/a study/study.json?")


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("s3://key:secret@bucket/studies", "holds credentials, which would end up in logs"),
        ("s3://bucket/studies?regoin=here", "unknown option regoin; did you mean region"),
        ("s3:///studies", "names no bucket"),
    ],
)
def test_a_uri_that_cannot_be_meant_is_refused(s3: S3Double, uri: str, said: str) -> None:
    with pytest.raises(UserError, match=said) as refused:
        Storage(uri)
    assert "secret@" not in str(refused.value)


def test_a_bucket_that_is_not_there_is_no_empty_one(s3: S3Double) -> None:
    storage = Storage("s3://not-there/studies")
    for ask in (
        lambda: storage.exists("a"),
        lambda: storage.names(),
        lambda: storage.files(),
        lambda: storage.read("a"),
        lambda: storage.write("a", b""),
        lambda: storage.remove("a"),
    ):
        with pytest.raises(StorageError, match="the bucket does not exist: s3://not-there"):
            ask()
    with pytest.raises(UserError, match="cannot read .*: the bucket does not exist"):
        Study.open("s3://not-there/studies/smoke")


def test_a_server_that_stands_still_for_a_while_is_waited_for(storage: Storage, s3: S3Double) -> None:
    import threading
    import time

    storage.write("a", b"1")
    with s3.standing_still():
        found: list[bytes] = []
        reading = threading.Thread(target=lambda: found.append(storage.read("a")))
        reading.start()
        time.sleep(4)  # longer than one try
    reading.join(60)
    assert found == [b"1"]


def test_a_stage_whose_bucket_vanishes_is_lost_not_failed(bench: Bench, s3: S3Double) -> None:
    stage = bench.stage(recipe={"epochs": 2})
    study = bench.study_on(Storage(f"s3://{BUCKET}/vanishing"))
    running = run_stage(stage, study, bench.runtime)
    next(running)
    lost = s3.lose()
    with pytest.raises(LostError, match="the bucket does not exist"):
        list(running)
    s3.give_back(lost)
    assert study.folder(stage).failure() is None
    list(run_stage(stage, study, bench.runtime))
    assert study.folder(stage).result() is not None


def test_keys_that_are_refused_are_told_with_where_keys_come_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with s3_double(tmp_path) as s3:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "unknown")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "unknown")
        s3.refuse()
        storage = Storage(s3.uri)
        for ask in (lambda: storage.read("a"), lambda: storage.write("a", b""), lambda: storage.names()):
            with pytest.raises(
                StorageError, match=f"s3://{BUCKET} denies access. Credentials come from AWS_ACCESS_KEY_ID"
            ) as said:
                ask()
            assert "Request ID" not in str(said.value)

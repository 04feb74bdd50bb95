"""Conditional puts: by boto3 against moto's server, which heeds the conditions, and one that does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("moto")
from tests.s3_double import BUCKET, S3Double
from trainables.errors import StorageError
from trainables.store import conditional_file as module
from trainables.store.conditional_file import ConditionalFile, conditional_file
from trainables.store.storage import Storage


@pytest.fixture
def storage(server: S3Double, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Storage:
    server.lead(monkeypatch)
    return Storage(f"s3://{BUCKET}/{request.node.name} é")


def opened(storage: Storage) -> ConditionalFile:
    file = conditional_file(storage.path("driver.json"))
    assert file is not None
    return file


def test_it_is_written_only_as_long_as_nobody_else_wrote_it(storage: Storage) -> None:
    mine, other = opened(storage), opened(storage)
    assert mine.tag() is None
    first = mine.write(b"1", None)
    assert first == mine.tag() == other.tag()
    assert other.write(b"2", None) is None, "it is there"
    second = other.write(b"2", first)
    assert second not in (None, first)
    assert mine.write(b"3", first) is None, "it is another's now"
    assert storage.read("driver.json") == b"2"
    storage.remove("driver.json")
    assert other.write(b"4", second) is None, "it is gone"


def test_whether_the_server_heeds_conditions_is_found_out(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    file = opened(storage)
    file.write(b"1", None)
    assert file.is_honoured(b"1")
    ask = ConditionalFile._ask

    def without_conditions(self: ConditionalFile, operation: str, **arguments: Any) -> Any:
        kept = {name: value for name, value in arguments.items() if name not in ("IfMatch", "IfNoneMatch")}
        return ask(self, operation, **kept)

    monkeypatch.setattr(ConditionalFile, "_ask", without_conditions)
    assert not file.is_honoured(b"1")
    assert storage.read("driver.json") == b"1"


def test_what_the_server_refuses_is_an_error_with_its_words(storage: Storage) -> None:
    file = conditional_file(storage.path("driver.json").replace(BUCKET, "nobodys"))
    assert file is not None
    with pytest.raises(StorageError, match="bucket does not exist"):
        file.write(b"1", None)


def test_other_storage_and_a_machine_without_boto3_have_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert conditional_file(str(tmp_path / "driver.json")) is None
    assert conditional_file("gs://bucket/driver.json") is None
    monkeypatch.setattr(module, "find_spec", lambda _: None)
    assert conditional_file("s3://bucket/driver.json") is None

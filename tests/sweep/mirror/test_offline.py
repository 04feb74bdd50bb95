"""The real client offline: retried stages, a full disk, an object store, and what it costs."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from sweep.compat.wandb import log_items, log_records
from sweep.mirror import client, worker
from sweep.mirror.offline import log_folder
from sweep.mirror.offline.log_file import epochs_in
from sweep.mirror.offline.log_folder import logs_of
from sweep.mirror.run_link import read_link
from sweep.mirror.settings import MirrorSettings
from sweep.mirror.sync import sync
from sweep.mirror.worker import Mirror
from tests.sweep.mirror.conftest import EPOCHS, shown
from tests.sweep.mirror.wandb_server import WandbServer
from trainables.runtime import RuntimeContext
from trainables.specs import Stage
from trainables.store.storage import Storage
from trainables.store.study import Study

pytestmark = pytest.mark.usefixtures("wandb_environment")
Finish = Callable[[Study, Stage], None]


@pytest.fixture
def offline(settings: MirrorSettings) -> MirrorSettings:
    return replace(settings, mode="offline")


def play(
    study: Study, settings: MirrorSettings, stage: Stage, first: int, last: int, end: str, mirror: Mirror | None = None
) -> None:
    """Go through epochs of a stage as a trial process does; without a mirror in one of its own."""
    own = mirror or Mirror()
    own.begin(settings.document(), study.storage.location, stage, RuntimeContext({}, {}))
    for epoch in range(first, last):
        own.epoch(shown(epoch))
        own.epoch({})  # a sign of life within an epoch
    own.end(end)
    if mirror is None:
        assert own.close(20)


def wait_for_epochs(folder: Path, epochs: int) -> list[int]:
    """The epochs in the logs, in their order: the client writes them within a second."""
    deadline = time.monotonic() + 10
    while len(epochs_in(logs_of(folder))[0]) < epochs or not epochs_in(logs_of(folder))[1]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    rows = [
        log_items(r.history.item)
        for log in logs_of(folder)
        for r in log_records(log)
        if r.WhichOneof("record_type") == "history"
    ]
    return [row["epoch"] for row in rows if "epoch" in row]


def test_a_retried_stage_has_every_epoch_once(
    study: Study, offline: MirrorSettings, stages: list[Stage], finish: Finish
) -> None:
    study.folder(stages[0]).begin(stages[0])
    play(study, offline, stages[0], 0, 3, "lost")
    folder = Path(study.storage.location)
    assert wait_for_epochs(folder, 3) == [0, 1, 2]
    finish(study, stages[0])
    time.sleep(1 - time.time() % 1)  # the client names its folders by the second
    play(study, offline, stages[0], 2, EPOCHS - 1, "done")  # one is done again, the last is never told of
    assert wait_for_epochs(folder, EPOCHS) == list(range(EPOCHS))
    assert len(logs_of(folder)) == 2


def test_a_study_that_is_not_mirrored_leaves_no_trace(study: Study, stages: list[Stage], finish: Finish) -> None:
    mirror = Mirror()
    finish(study, stages[0])
    mirror.begin(None, study.storage.location, stages[0], RuntimeContext({}, {}))
    mirror.epoch(shown(0))
    mirror.end("done")
    assert mirror.close(0)
    assert not study.storage.exists("wandb")
    assert read_link(study.folder(stages[0])) is None


def test_a_stage_after_the_first_costs_less_than_50_ms(
    study: Study, offline: MirrorSettings, stages: list[Stage], finish: Finish
) -> None:
    mirror = Mirror()
    for stage in stages:
        finish(study, stage)
    play(study, offline, stages[0], 0, EPOCHS, "done", mirror)
    wait_for_epochs(Path(study.storage.location), EPOCHS)
    before = time.process_time()
    for stage in stages[1:]:
        play(study, offline, stage, 0, EPOCHS, "done", mirror)
    assert mirror.close(30)
    each = (time.process_time() - before) / (len(stages) - 1)
    assert each < 0.05, "processor time of the trial process, all its threads"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 400 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "none", folder], capture_output=True).returncode:
        pytest.skip("no right to mount a small disk here")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_full_disk_stops_nothing(
    study: Study, offline: MirrorSettings, stages: list[Stage], finish: Finish, small_disk: Path, server: WandbServer
) -> None:
    (Path(study.storage.location) / "wandb").symlink_to(small_disk)
    with (small_disk / "ballast").open("wb", buffering=0) as ballast, suppress(OSError):
        while True:
            ballast.write(bytes(4096))
    mirror = Mirror()
    begun = time.perf_counter()
    for stage in stages[:2]:
        finish(study, stage)
        play(study, offline, stage, 0, EPOCHS, "done", mirror)
    assert time.perf_counter() - begun < 0.5
    assert mirror.close(30)
    time.sleep(1.5)  # the client writes within a second
    assert not any(epochs_in([log])[1] for log in logs_of(Path(study.storage.location)))
    (small_disk / "ballast").unlink()
    client.shut_down()
    done = sync(study, replace(offline, mode="online"))
    assert (done.stages, done.failed) == (2, ()), "told from the study folder"
    assert len(server.runs) == 2
    for run in server.runs:
        epochs = [row["epoch"] for row in server.history(run) if "epoch" in row]
        assert epochs == list(range(EPOCHS))


def test_a_folder_that_cannot_be_written_stops_nothing(
    study: Study, offline: MirrorSettings, stages: list[Stage], finish: Finish
) -> None:
    Path(study.storage.location, "wandb").write_text("a file where a folder should be")
    finish(study, stages[0])
    play(study, offline, stages[0], 0, EPOCHS, "done")


class Bucket(Storage):
    """A store in memory, where a name needs no folder above it, as in a bucket."""

    def write(self, name: str, content: bytes) -> str:
        self._fs.create_dir(self._full(name).rpartition("/")[0], recursive=True)
        return super().write(name, content)


def test_on_an_object_store_the_logs_go_into_the_study(
    offline: MirrorSettings,
    stages: list[Stage],
    finish: Finish,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    storage = Bucket("mock://bucket/study")
    assert not storage.is_local
    monkeypatch.setattr(worker, "Storage", lambda _: storage)
    study = Study(storage)
    finish(study, stages[0])
    play(study, offline, stages[0], 0, EPOCHS, "done")
    log_folder.download(storage, tmp_path / "here")
    assert wait_for_epochs(tmp_path / "here", EPOCHS) == list(range(EPOCHS))
    assert list((tmp_path / "here").rglob("*.png"))

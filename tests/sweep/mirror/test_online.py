"""The real client against a local server with faults: no stage waits, and in the end all epochs are there once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from wandb.sdk.lib.run_stopping import RunStopChecker

from sweep.mirror import client, run_session, worker
from sweep.mirror.offline.log_folder import logs_of
from sweep.mirror.run_link import RunLink, read_link, run_id
from sweep.mirror.settings import MirrorSettings
from sweep.mirror.sync import sync
from sweep.mirror.worker import Mirror
from tests.sweep.mirror.conftest import EPOCHS, shown
from tests.sweep.mirror.wandb_server import KEY, Fault, WandbServer
from trainables.runtime import RuntimeContext
from trainables.specs import Stage
from trainables.store.study import Study

SITE = RuntimeContext({}, {})
Finish = Callable[[Study, Stage], None]


class Player:
    """Plays the trial process: stages that take no time of their own, so that any waiting shows."""

    def __init__(self, study: Study, settings: MirrorSettings, finish: Finish) -> None:
        self.study, self.settings, self.finish = study, settings, finish
        self.mirror = Mirror()
        self.waited = 0.0

    def attempt(self, stage: Stage, first: int, last: int, end: str) -> None:
        """Go through epochs of a stage."""
        if end == "done":
            self.finish(self.study, stage)
        else:
            self.study.folder(stage).begin(stage)
        begun = time.perf_counter()
        self.mirror.begin(self.settings.document(), self.study.storage.location, stage, SITE)
        for epoch in range(first, last):
            self.mirror.epoch(shown(epoch))
        if end:
            self.mirror.end(end)
        self.waited = max(self.waited, time.perf_counter() - begun)

    def told(self, seconds: float = 60) -> bool:
        """Wait for the mirror's thread; begin with another as another process would."""
        told = self.mirror.close(seconds)
        self.mirror = Mirror()
        return told


@pytest.fixture
def player(study: Study, settings: MirrorSettings, finish: Finish) -> Iterator[Player]:
    playing = Player(study, settings, finish)
    yield playing
    assert playing.told(), "also after a test that failed"


@contextmanager
def impatient(
    limit: str, seconds: float = 1.0, of: Callable[[str, RunLink], bool] = lambda mode, link: mode == "online"
) -> Iterator[None]:
    """A server that does not answer is given up soon; the client itself has its time, on a busy machine too."""
    patient = client.RUN_SETTINGS[limit]

    def open_run(
        settings: MirrorSettings, log_root: str, stage: Stage, path: str, link: RunLink, stop: Callable[[], None]
    ) -> object:
        patch.setitem(client.RUN_SETTINGS, limit, seconds if of(settings.mode, link) else patient)
        return client.open_run(settings, log_root, stage, path, link, stop)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_session, "open_run", open_run)
        yield


def epochs(server: WandbServer, run: str) -> list[int]:
    return [row["epoch"] for row in server.history(run) if "epoch" in row]


def run_of(player: Player, stage: Stage) -> str:
    link = read_link(player.study.folder(stage))
    assert link is not None
    return link.run


def assert_whole(server: WandbServer, player: Player, stage: Stage) -> None:
    run = run_of(player, stage)
    assert sorted(epochs(server, run)) == list(range(EPOCHS))
    assert server.runs[run]["state"] == "finished"
    assert server.summary(run)["selection_score"] == 0.75


def test_a_run_says_what_its_stage_is(server: WandbServer, player: Player, stages: list[Stage]) -> None:
    player.attempt(stages[0], 0, EPOCHS, "done")
    assert player.told()
    assert_whole(server, player, stages[0])
    run = run_of(player, stages[0])
    known = server.runs[run]
    assert (known["groupName"], known["jobType"], known["sweep"]) == ("tiny/Random", "finetune", "swp12345")
    assert known["tags"] == ["fold0", "lr0.02"]
    config = server.config(run)
    axes = {"architecture": "tiny", "scenario": "Random", "fold": 0, "learning_rate": 0.02, "seed": 0}
    assert axes.items() <= config.items()
    assert config["stage_folder"] == player.study.folder(stages[0]).path()
    summary = server.summary(run)
    assert {"val_f1_macro": 0.75, "test_f1_macro": 0.5, "selected_epoch": 3, "state": "done"}.items() <= summary.items()
    link = read_link(player.study.folder(stages[0]))
    assert link is not None
    assert link.url == f"{server.url}/team/p/runs/{run}"
    assert link.whole
    assert [name for name in server.files if name.endswith(".png")] == [
        f"{run}/media/images/{Path(name).name}" for name in server.files if "confusion_matrix" in name
    ]


def test_a_retried_stage_goes_on_in_its_run(server: WandbServer, player: Player, stages: list[Stage]) -> None:
    player.attempt(stages[0], 0, 4, "lost")  # the checkpoint is older than the last epoch that was told
    assert player.told()
    assert server.runs[run_of(player, stages[0])]["state"] == "failed"
    player.attempt(stages[0], 2, EPOCHS, "done")
    assert player.told()
    assert len(server.runs) == 1
    assert epochs(server, run_of(player, stages[0])) == list(range(EPOCHS))
    assert_whole(server, player, stages[0])


def test_epochs_that_were_lost_on_the_way_are_told_at_the_end(
    server: WandbServer, player: Player, stages: list[Stage]
) -> None:
    player.attempt(stages[0], 0, 2, "lost")
    assert player.told()
    player.attempt(stages[0], 3, 5, "lost")  # 2 was trained, and never told
    assert player.told()
    player.attempt(stages[0], 5, EPOCHS, "done")
    assert player.told()
    assert epochs(server, run_of(player, stages[0])) == [0, 1, 3, 4, 5, 2]
    assert_whole(server, player, stages[0])


def test_a_result_taken_back_and_a_deleted_run_get_new_runs(
    server: WandbServer, player: Player, stages: list[Stage]
) -> None:
    player.attempt(stages[0], 0, EPOCHS, "done")
    assert player.told()
    first = run_of(player, stages[0])
    player.study.folder(stages[0]).retire("damaged")
    server.deleted.add(run_id(player.settings, str(stages[0].key), 1))
    with impatient("init_timeout", 3.0, lambda mode, link: link.run in server.deleted):  # so long the client asks again
        player.attempt(stages[0], 0, EPOCHS, "done")
        assert player.told()
    second = run_of(player, stages[0])
    assert second == run_id(player.settings, str(stages[0].key), 2)
    assert set(server.runs) == {first, second}
    assert_whole(server, player, stages[0])


@pytest.mark.parametrize(
    "fault",
    [
        Fault("file_stream", 429, 1, headers={"Retry-After": "1"}),
        Fault("file_stream", 500, 1),
        Fault("UpsertBucket", 500, 1),
        Fault("file_stream", seconds=0.5),
    ],
    ids=["429", "500", "500-at-init", "slow"],
)
def test_passing_faults_lose_nothing(
    server: WandbServer,
    player: Player,
    stages: list[Stage],
    fault: Fault,
) -> None:
    server.faults.append(fault)
    player.attempt(stages[0], 0, EPOCHS, "done")
    assert player.waited < 0.5
    assert player.told()
    assert_whole(server, player, stages[0])


def test_a_server_that_does_not_answer_at_the_start_holds_nothing_up(
    server: WandbServer, player: Player, stages: list[Stage], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused, slow, failing: each met by a process of its own."""
    with impatient("init_timeout"):
        monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
        player.attempt(stages[0], 0, EPOCHS, "done")
        player.attempt(stages[1], 0, EPOCHS, "done")
        assert player.told()
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        for fault, stage in zip((Fault("", seconds=30), Fault("", 500)), stages[2:4], strict=True):
            client.shut_down()
            server.faults[:] = [fault]
            before = server.asked.total()
            player.attempt(stage, 0, EPOCHS, "done")
            assert player.told()
            assert server.asked.total() > before, "it was tried"
    assert player.waited < 0.5
    assert len(logs_of(Path(player.study.storage.location))) == 4
    server.faults.clear()
    client.shut_down()
    done = sync(player.study, player.settings)
    assert (done.logs, done.stages, done.failed) == (4, 0, ())
    for stage in stages[:4]:
        assert_whole(server, player, stage)
    assert sync(player.study, player.settings) == replace(done, logs=0), "the second time there is nothing to do"


def test_a_server_that_dies_in_the_middle_gets_the_rest_later(
    server: WandbServer, player: Player, stages: list[Stage]
) -> None:
    with impatient("finish_timeout"):
        player.attempt(stages[0], 0, 3, "")
        wait_for(lambda: server.asked["file_stream"])
        server.dead = True
        for epoch in range(3, EPOCHS):
            player.mirror.epoch(shown(epoch))
        player.finish(player.study, stages[0])
        player.mirror.end("done")
        player.attempt(stages[1], 0, EPOCHS, "done")
        assert player.waited < 0.5
        assert player.told()
    server.dead = False
    client.shut_down()
    assert set(epochs(server, run_of(player, stages[0]))) < set(range(EPOCHS))
    assert sync(player.study, player.settings).failed == ()
    for stage in stages[:2]:
        assert_whole(server, player, stage)


def test_the_client_s_process_may_die(server: WandbServer, player: Player, stages: list[Stage]) -> None:
    player.attempt(stages[0], 0, 2, "")
    wait_for(lambda: server.asked["file_stream"])
    [core] = client.processes()
    core.kill()
    core.wait(10)
    for epoch in range(2, EPOCHS):
        player.mirror.epoch(shown(epoch))
    player.finish(player.study, stages[0])
    player.mirror.end("done")
    assert player.told()
    assert_whole(server, player, stages[0])


def test_a_client_s_process_that_hangs_is_put_down(
    server: WandbServer, player: Player, stages: list[Stage], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "KILL_SECONDS", 0.3)  # else 10
    player.attempt(stages[0], 0, 2, "")
    wait_for(lambda: server.asked["file_stream"])
    [core] = client.processes()
    core.suspend()
    client.shut_down()
    assert not core.is_running()
    assert not client.processes()
    player.mirror.end("lost")
    assert player.told()
    player.attempt(stages[0], 2, EPOCHS, "done")
    assert player.told()
    assert_whole(server, player, stages[0])


def test_a_stop_in_the_dashboard_reaches_the_stage(
    server: WandbServer, player: Player, stages: list[Stage], monkeypatch: pytest.MonkeyPatch
) -> None:
    defaults: Any = RunStopChecker.__init__.__kwdefaults__
    monkeypatch.setitem(defaults, "poll_interval", 0.3)  # it is 15 seconds
    player.attempt(stages[0], 0, 1, "lost")
    assert player.told()
    assert not player.mirror.stop_requested
    run = run_of(player, stages[0])
    server.runs[run]["stop"] = True  # the client hears of it with the next rows, every 15 seconds
    player.attempt(stages[0], 1, 2, "")
    wait_for(lambda: player.mirror.stop_requested)
    player.mirror.end("stopped")
    assert player.told()
    assert server.summary(run)["state"] == "stopped"
    server.runs[run]["stop"] = False  # resumed
    player.attempt(stages[0], 2, EPOCHS, "done")
    assert not player.mirror.stop_requested
    assert player.told()
    assert_whole(server, player, stages[0])


def test_epochs_that_the_thread_does_not_get_to_are_filled_in_at_the_end(
    server: WandbServer, player: Player, stages: list[Stage], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "MAX_QUEUED", 2)
    server.faults.append(Fault("UpsertBucket", seconds=1.0, times=1))
    player.attempt(stages[0], 0, 4, "")
    wait_for(lambda: server.asked["UpsertBucket"])
    player.mirror.epoch(shown(4))  # two wait already
    player.mirror.epoch(shown(5))
    player.finish(player.study, stages[0])
    player.mirror.end("done")
    assert player.waited < 0.5
    assert player.told()
    assert_whole(server, player, stages[0])


def test_the_key_is_nowhere(server: WandbServer, player: Player, stages: list[Stage], tmp_path: Path) -> None:
    server.faults.append(Fault("UpsertBucket", 401, 1))
    player.attempt(stages[0], 0, EPOCHS, "done")
    player.attempt(stages[1], 0, EPOCHS, "done")
    assert player.told()
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert len(files) > 10
    assert not [file for file in files if KEY.encode() in file.read_bytes()]
    assert KEY not in str(player.settings.document())


def wait_for(condition: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)

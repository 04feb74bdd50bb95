"""A server, an environment without the user's own W&B, and a stage folder to mirror."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from sweep.mirror.client import processes, shut_down
from sweep.mirror.settings import MirrorSettings
from sweep.plan.plan import Plan
from tests.sweep.mirror.wandb_server import KEY, WandbServer
from trainables.specs import Stage
from trainables.store.storage import Storage
from trainables.store.study import Study

EPOCHS = 6


@pytest.fixture
def wandb_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Nothing of the user's: no key, no files of the client outside the test's folder."""
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    home = tmp_path / "home"
    for name in ("CACHE_DIR", "DATA_DIR", "CONFIG_DIR"):
        monkeypatch.setenv(f"WANDB_{name}", str(home / name.lower()))
    monkeypatch.setenv("NETRC", str(home / "netrc"))
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    yield home
    end_the_client()


def end_the_client() -> None:
    """End what a test started, and see that it ended: what is left would be another test's."""
    for thread in threading.enumerate():
        if thread.name == "wandb sweep":  # one that was not waited for
            thread.join(30)
    shut_down()
    assert not processes()
    assert "NetStatThr" not in [thread.name for thread in threading.enumerate()]


@pytest.fixture
def server(wandb_environment: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WandbServer]:
    """A server that the client knows the key of. What it does not know fails the test."""
    with WandbServer() as running:
        monkeypatch.setenv("WANDB_BASE_URL", running.url)
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        yield running
        end_the_client()
        assert not running.unknown


@pytest.fixture
def study(tmp_path: Path, planned: Callable[..., Plan], grid_text: str) -> Study:
    """A study with a plan and nothing done."""
    made = Study(Storage(tmp_path / "study é"))
    plan = planned(grid_text)
    made.storage.write_json("study.json", {"name": "s", "uid": "u1", "target": "cells"})
    made.storage.write_json("plan.json", {"axes": plan.axes()})
    return made


@pytest.fixture
def stages(planned: Callable[..., Plan], grid_text: str) -> list[Stage]:
    """The cells of the plan."""
    return planned(grid_text, f"finetune.epochs={EPOCHS}").cells


@pytest.fixture
def settings() -> MirrorSettings:
    """Online, in a sweep."""
    return MirrorSettings("online", "p", "team", "swp12345", "s", "u1")


def shown(epoch: int) -> dict[str, float]:
    """What an epoch shows."""
    parts = {f"{part}_{name}": epoch / 10 for part in ("train", "val") for name in ("loss", "accuracy", "f1_macro")}
    return {"epoch": float(epoch), **parts, "learning_rate": 0.02, "images_per_second": 9.0, "seconds": 1.0}


@pytest.fixture
def finish() -> Callable[[Study, Stage], None]:
    """Write what a finished stage leaves in its folder."""

    def write(study: Study, stage: Stage) -> None:
        folder = study.folder(stage)
        folder.begin(stage)
        rows: list[dict[str, Any]] = []
        for epoch in range(EPOCHS):
            seen = shown(epoch)
            rest: dict[str, Any] = {name: seen[name] for name in ("learning_rate", "images_per_second", "seconds")}
            for part in ("train", "val"):
                scores = {name: seen[f"{part}_{name}"] for name in ("loss", "accuracy", "f1_macro")}
                rows.append({"epoch": epoch, "split": part, **scores, **rest})
        folder.files.write_table("history.parquet", pa.Table.from_pylist(rows))
        logits = pa.FixedSizeListArray.from_arrays(pa.array(np.eye(2, dtype=np.float32).repeat(2, 0).reshape(-1)), 2)
        content = {"image_id": list("abcd"), "split": ["val", "test"] * 2, "label": [0, 1, 1, 1], "logits": logits}
        folder.files.write_table("predictions.parquet", pa.table(content))
        metrics = {"val_f1_macro": 0.75, "test_f1_macro": 0.5}
        rest = {"classes": ["a", "b"], "learning_rate": 0.02, "selected_epoch": 3, "seconds": 6.0}
        folder.commit({"status": "done", "key": stage.key, "metrics": metrics, **rest})

    return write

"""A home of one's own with a token, and the cluster files that come with the project."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from sweep.cluster.config.cluster_file import ClusterFile, read
from sweep.engine.auth_token import make_token

ROOT = Path(__file__).parents[3]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with a token and an ssh key; the working folder is the project, as for `ray up`."""
    folder = tmp_path / "home"
    (folder / ".ssh").mkdir(parents=True)
    key = folder / ".ssh" / "id_ed25519"
    key.touch(mode=0o600)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.chdir(ROOT)
    make_token()
    return folder


@pytest.fixture
def changed(tmp_path: Path, home: Path) -> Callable[[str, Callable[[dict[str, Any]], object]], ClusterFile]:
    """Return a cluster file of the project with something changed in it."""

    def change(name: str, how: Callable[[dict[str, Any]], object]) -> ClusterFile:
        value = copy.deepcopy(yaml.safe_load((ROOT / name).read_text()))
        how(value)
        file = tmp_path / "changed.yaml"
        file.write_text(yaml.safe_dump(value, sort_keys=False))
        return read(file)

    return change

"""Distributions outside the project, installed into a folder that a test puts on the path."""

from __future__ import annotations

import shutil
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest

from trainables import entry_options, registry

TOY = Path(__file__).parents[2] / "toy_plugin"


def publish(folder: Path, name: str, version: str, groups: Mapping[str, Mapping[str, str]]) -> None:
    """Write the metadata of an installed distribution, as pip does.

    Args:
        folder: a folder of the path.
        name: of the distribution.
        version: of it.
        groups: entry-point group -> name of an entry -> where it is imported from.
    """
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    lines = [
        line for group, points in groups.items() for line in (f"[{group}]", *(f"{n} = {v}" for n, v in points.items()))
    ]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")


def install_toy(folder: Path, version: str = "1.0") -> Path:
    """Install the toy distribution as its pyproject.toml says, in a version; return the folder for the path."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(TOY / "toy_plugin", folder / "toy_plugin", ignore=shutil.ignore_patterns("__pycache__"))
    project = tomllib.loads((TOY / "pyproject.toml").read_text())["project"]
    publish(folder, project["name"], version, project["entry-points"])
    return folder


def put_on_path(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have this process see what is installed in a folder, and forget what it saw before."""
    monkeypatch.syspath_prepend(str(folder))
    forget()


def forget() -> None:
    """Forget what was installed: to be called when it no longer is."""
    registry._published.cache_clear()
    entry_options._asked_of_child.cache_clear()
    for name in [name for name in sys.modules if name.partition(".")[0] == "toy_plugin"]:
        del sys.modules[name]

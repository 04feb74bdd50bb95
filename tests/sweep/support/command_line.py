"""The command line as tests call it, and folders for it to work in."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from sweep.commands.study_header import write_study
from sweep.grid.loader import load_grid
from sweep.plan.inputs import gather
from sweep.plan.plan import make_plan
from trainables.store.storage import Storage
from trainables.store.study import Study

Run = Callable[..., subprocess.CompletedProcess[str]]
TABLES = ("full_study", "mini", "paper", "smoke")

FOLDERS = """\
target: cells
data:
  cells: {reader: image_folder, path: cells, size: 32}
split: {folds: 3, val_fraction: 0.3}
scenarios: {Random: {}}
axes: {architecture: [resnet18], learning_rate: 0.01}
"""


def tree(folder: Path) -> dict[str, bytes | None]:
    """All files and folders below, with their content; the disposable cache aside."""
    found = {f.relative_to(folder).as_posix(): f.read_bytes() if f.is_file() else None for f in folder.rglob("*")}
    return {name: content for name, content in found.items() if ".cache" not in name.split("/")}


def refused(run: Run, folder: Path, *arguments: str) -> list[str]:
    """Call the command; hold it to everything that is the same for all bad input; return the faults."""
    before = tree(folder)
    done = run(*arguments)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert tree(folder) == before
    lines = done.stderr.splitlines()
    assert all(line.startswith("error: ") for line in lines), lines
    assert len(lines) == len(set(lines))
    return [line.removeprefix("error: ") for line in lines]


def edited(folder: Path, old: str, new: str) -> int:
    """Change the grid; return the line of the change."""
    text = (folder / "grid.yaml").read_text()
    assert old in text
    (folder / "grid.yaml").write_text(text.replace(old, new))
    return text[: text.index(old)].count("\n") + 1


def paint(folder: Path, count: int = 4, labels: tuple[str, ...] = ("round", "square")) -> None:
    for number, label in enumerate(labels):
        (folder / label).mkdir(parents=True)
        for i in range(count):
            pixels = np.random.default_rng(100 * number + i).integers(0, 256, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / label / f"{i}.png")


def begin(folder: Path) -> Study:
    """Write what a run writes before its first stage: header, plan, splits, problems in the data."""
    grid = load_grid(str(folder / "grid.yaml"))
    inputs = gather(grid, folder / "data", None, folder / "studies/.cache")
    study = Study(Storage(folder / "studies/grid"))
    write_study(study, "grid", make_plan(grid, inputs), inputs, {})
    return study

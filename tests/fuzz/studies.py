"""Studies and bundles of a stranger: ``python -m tests.fuzz.studies``. Nothing outside of them is read, written or deleted."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import stat
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import torch

from analysis import ask, bundle, compare, export, predict, report, trace
from sweep import status
from sweep.plan.reuse import take_over
from tests.fuzz.bounded import Case, command
from tests.fuzz.study_harms import SECRET, harm
from trainables.errors import UserError
from trainables.specs import Stage
from trainables.store.storage import Storage
from trainables.store.study import Study

MAKE = """
import sys
from pathlib import Path
from tests.analysis.support.trained_study import make
from analysis import bundle, gradcam
made = make(Path(sys.argv[1]))
with (made.root / "grid.yaml").open("a") as grid:
    grid.write("data: {cells: {reader: image_folder, path: cells}}\\n")
assert gradcam.main([str(made.root), "--steps", "0", "--data", str(made.images.parent)]) == 0
assert bundle.main([str(made.root), "--out", sys.argv[1] + "/bundle"]) == 0
"""
"""Trains the study that is harmed, in a process of its own: threads of torch do not live through a fork."""
ROOT = Path(__file__).parents[2]
CONTROLS = {*range(32), 127} - {9, 10}
"""Bytes that never reach a terminal, but for tabs and ends of lines."""


@cache
def made() -> Path:
    """Return a folder with a trained study, its images and a bundle of it. To be called before cases are forked."""
    folder = Path(tempfile.mkdtemp(prefix="fuzz-study-"))
    done = subprocess.run(
        [sys.executable, "-c", MAKE, str(folder)], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return folder


def run(place: Path, main: Callable[[Sequence[str]], int], arguments: Sequence[str], written: Sequence[str]) -> int:
    """Run a command; nothing but what it is to write may be changed, and nothing outside be shown.

    Args:
        place: of the case.
        main: of the command.
        arguments: of its command line.
        written: what it may write, below ``place``.
    """
    torch.set_num_threads(1)
    before = _state(place, written)
    status_ = main(arguments)
    sys.stdout.flush()
    sys.stderr.flush()
    changed = {name for name, what in _state(place, written).items() ^ before.items()}
    assert not changed, f"written or deleted outside: {sorted(changed)[:3]}"
    said = os.pread(1, 1 << 24, 0)
    shown = {byte for byte in said if byte in CONTROLS}
    assert not shown, f"control characters reach the terminal: {sorted(shown)}"
    for name in (name for name in written if not _is_linked(place, name)):
        for file in (place / name).rglob("*") if (place / name).is_dir() else [place / name]:
            assert not _holds_secret(file), f"a file from outside is in {file.relative_to(place)}"
    return status_


def _is_linked(place: Path, name: str) -> bool:
    return (place / name).resolve() != place.resolve() / name


def _holds_secret(file: Path) -> bool:
    if not stat.S_ISREG(file.lstat().st_mode if file.exists() else 0):
        return False
    if zipfile.is_zipfile(file) and file.suffix == ".zip":
        with zipfile.ZipFile(file) as archive:
            return any(SECRET in archive.read(name) for name in archive.namelist())
    return SECRET in file.read_bytes()


def _state(place: Path, written: Sequence[str]) -> dict[str, str]:
    """Return the digest of each file, but for those that the command is to write."""
    found = {}
    for path in place.rglob("*"):
        name, mode = path.relative_to(place).as_posix(), path.lstat().st_mode
        if not any(name == own or name.startswith(f"{own}/") for own in written):
            found[name] = (
                hashlib.sha256(path.read_bytes()).hexdigest() if stat.S_ISREG(mode) else str(stat.S_IFMT(mode))
            )
    return found


def _study(rng: random.Random, place: Path) -> str:
    """Copy the study, its images and its cache into a folder, and harm it; there is a secret file beside it."""
    for name in ("study", "data"):
        shutil.copytree(made() / name, place / name)
    (place / "victim").write_bytes(SECRET)
    (place / "victims").mkdir()
    (place / "victims" / "secret.parquet").write_bytes(SECRET)
    for _ in range(rng.choice([1, 1, 2, 4])):
        harm(rng, place / "study")
    return str(place / "study")


def reports(rng: random.Random, place: Path) -> int:
    """The report of a study."""
    return run(place, report.main, [_study(rng, place)], ["study/report"])


def questions(rng: random.Random, place: Path) -> int:
    """What is asked of a study, or of two."""
    study = _study(rng, place)
    other = str(made() / "study")
    main, arguments = rng.choice(
        [
            (trace.main, [study, "--row", "tiny,Random"]),
            (trace.main, [study, "--row", "tiny,Tissue"]),
            (compare.main, [study, other]),
            (compare.main, [other, study]),
            (status.main, [study]),
            (status.main, [study, "--json"]),
            (ask.main, [study, "best"]),
        ]
    )
    ended = run(place, main, arguments, [])
    return 0 if main is status.main and ended == 1 else ended


def exports(rng: random.Random, place: Path) -> int:
    """A network of a study, taken away."""
    which = rng.choice([["--row", "tiny,Tissue"], ["--stage", f"tiny-Random-fold{rng.randrange(3)}"]])
    return run(place, export.main, [_study(rng, place), *which, "--out", str(place / "out")], ["out"])


def predictions(rng: random.Random, place: Path) -> int:
    """Predictions of a study's networks."""
    which = rng.choice([["--row", "tiny,Tissue"], ["--stage", f"tiny-Random-fold{rng.randrange(3)}"]])
    arguments = [
        _study(rng, place),
        *which,
        "--images",
        str(place / "data" / "cells"),
        "--out",
        str(place / "out/t.csv"),
    ]
    return run(place, predict.main, arguments, ["out"])


def bundles(rng: random.Random, place: Path) -> int:
    """A bundle of a study."""
    out = rng.choice(["out.zip", "out"])
    return run(place, bundle.main, [_study(rng, place), "--out", str(place / out)], [out])


def checks(rng: random.Random, place: Path) -> int:
    """A stranger's bundle, checked."""
    folder = place / "study"
    shutil.copytree(made() / "bundle", folder)
    (place / "victim").write_bytes(SECRET)
    given = folder
    if rng.random() < 0.5:
        for _ in range(rng.choice([0, 1, 3])):
            harm(rng, folder)
    else:
        given = place / "bundle.zip"
        _odd_zip(rng, folder, given)
    ended = run(place, bundle.main, ["--verify", str(given)], [])
    return 0 if ended == 1 else ended


def _odd_zip(rng: random.Random, folder: Path, file: Path) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(folder).as_posix())
        kind = rng.choice(
            ["nothing", "out", "link", "bomb", "twice", "method", "huge name", "bytes", "encrypted", "size"]
        )
        if kind == "out":
            archive.writestr(
                rng.choice(["../x", "/etc/x", "a/../../x", "C:\\x", "a\\..\\x", "./x", "a//b", "\x1b[31m"]), b"x"
            )
        if kind == "link":
            entry = zipfile.ZipInfo("stages/link")
            entry.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(entry, "../../victim")
        if kind == "bomb":
            with archive.open(rng.choice(["report/bomb.csv", "README.md"]), "w", force_zip64=True) as stream:
                for _ in range(400):
                    stream.write(bytes(1 << 20))
        if kind == "twice":
            archive.writestr("study.json", b"{}")
        if kind == "huge name":
            archive.writestr("a" * 60_000, b"x")
    content = bytearray(file.read_bytes())
    if kind == "bytes":
        for _ in range(rng.choice([1, 50])):
            content[rng.randrange(len(content))] = rng.randrange(256)
        del content[rng.choice([len(content), rng.randrange(len(content))]) :]
    for mark, place, value in ((b"PK\1\2", 8, 1), (b"PK\1\2", 10, 99), (b"PK\1\2", 24, 255)):
        if {8: "encrypted", 10: "method", 24: "size"}[place] == kind:
            found = content.find(mark)
            while found >= 0:
                content[found + place] = value
                content[found + place + (3 if kind == "size" else 0)] = value
                found = content.find(mark, found + 4)
    file.write_bytes(content)


def reuse(rng: random.Random, place: Path) -> int:
    """Stages of a study, taken over by another."""
    good = Study.open(str(made() / "study"))
    stages = [Stage.from_document(folder.stage()) for folder in good.folders()]
    study = _study(rng, place)

    def taken(arguments: Sequence[str]) -> int:
        mine = Study(Storage(place / "mine"))
        try:
            copied, faults = take_over(stages, mine, Study.open(arguments[0]))
        except (UserError, OSError) as error:  # the command says both so
            sys.stderr.write(f"{str(error)!a}\n")
            return 2
        sys.stderr.write(f"{len(copied)} copied; {faults!a}\n")
        return 0

    return run(place, taken, [study], ["mine"])


CASES: dict[str, Case] = {
    one.__name__: one
    for one in (reports, questions, exports, predictions, bundles, checks, reuse)
}  # fmt: skip

if __name__ == "__main__":
    try:
        made()
        sys.exit(command(__doc__, CASES))
    finally:
        shutil.rmtree(made())

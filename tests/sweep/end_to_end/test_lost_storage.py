"""A disk that fills up and a storage that goes away and comes back, under a whole study: mounts of this machine."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.sweep.faults import Study, undisturbed

pytestmark = pytest.mark.slow


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[None]:
    """A disk of its own at a folder, on top of what is there."""
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    tried = subprocess.run(command, capture_output=True, text=True, check=False)
    if tried.returncode != 0:
        pytest.skip(f"a disk of its own cannot be mounted here: {tried.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """What an undisturbed study comes to."""
    if os.geteuid() != 0:
        pytest.skip("mounting a disk wants root")
    return undisturbed(tmp_path_factory.mktemp("undisturbed"))


def study_on_a_disk(folder: Path) -> Study:
    study = Study(folder)
    (folder / "studies").mkdir()
    return study


def wait_for_results(study: Study, count: int) -> None:
    until = time.monotonic() + 120
    while len(list(study.stages.glob("*/result.json"))) < count:
        assert time.monotonic() < until, (study.folder / "driver.log").read_text()[-2000:]
        time.sleep(0.05)


def fill(file: Path) -> None:
    with file.open("wb", buffering=0) as others:
        while True:
            others.write(bytes(1 << 12))


def test_a_full_disk_is_said_and_what_was_done_is_kept(expected: dict[str, object], tmp_path: Path) -> None:
    study = study_on_a_disk(tmp_path)
    with mounted(tmp_path / "studies", "size=64m"):
        driver = study.start()
        try:
            wait_for_results(study, 2)
            filled = tmp_path / "studies/other people's"
            with pytest.raises(OSError, match="No space"):
                fill(filled)
            assert driver.wait(timeout=240) != 0
        finally:
            driver.kill()
        said = (tmp_path / "driver.log").read_text()
        assert "No space left on device" in said
        assert "Traceback" not in said
        study.watch()
        filled.unlink()
        assert study.start().wait(timeout=240) == 0, (tmp_path / "driver.log").read_text()[-3000:]
        study.watch()
        assert study.outcome() == expected


def test_a_storage_that_goes_and_comes_back(expected: dict[str, object], tmp_path: Path) -> None:
    study = study_on_a_disk(tmp_path)
    with mounted(tmp_path / "studies", "size=64m"):
        driver = study.start()
        try:
            wait_for_results(study, 2)
            study.watch()
            with mounted(tmp_path / "studies", "size=4k,ro"):
                time.sleep(4)
            status = driver.wait(timeout=240)
        finally:
            driver.kill()
        assert "Traceback" not in (tmp_path / "driver.log").read_text()
        if status != 0:
            assert study.start().wait(timeout=240) == 0, (tmp_path / "driver.log").read_text()[-3000:]
        study.watch()
        assert study.outcome() == expected

"""A bucket that vanishes under a study and comes back: the real command against moto's server."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.sweep.support.tiny_grid import tiny_grid

pytest.importorskip("moto")
from tests.s3_double import BUCKET, S3Double, s3_double

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]


def start(folder: Path, s3: S3Double) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "sweep.run", "--grid", "tiny.yaml", "--storage", f"s3://{BUCKET}/studies"]
    environment = s3.environment | {"PYTHONPATH": str(ROOT), "HOME": str(folder)}
    with (folder / "said.txt").open("a") as said:
        return subprocess.Popen(command, cwd=folder, env=environment, stdout=said, stderr=said, text=True)


def test_the_run_ends_in_a_line_and_goes_on_when_the_bucket_is_back(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(tiny_grid(images=6, pretrain_epochs=2, finetune_epochs=6))
    with s3_double(tmp_path) as s3:
        driver = start(tmp_path, s3)
        try:
            until = time.monotonic() + 120
            while not any(key.endswith("/result.json") for key in s3.keys("studies/tiny/stages/")):
                assert driver.poll() is None
                assert time.monotonic() < until
                time.sleep(0.1)
            lost = s3.lose()
            assert driver.wait(timeout=120) == 1
        finally:
            driver.kill()
        said = " ".join((tmp_path / "said.txt").read_text().split())
        assert f"the bucket does not exist: s3://{BUCKET}" in said
        assert "What is finished is kept; once that is mended: python -m sweep.run" in said
        assert "Traceback" not in said
        s3.give_back(lost)
        kept = [key for key in lost if key.endswith("/result.json")]
        assert start(tmp_path, s3).wait(timeout=200) == 0, (tmp_path / "said.txt").read_text()
        assert len([key for key in s3.keys("studies/tiny/stages/") if key.endswith("/result.json")]) == 9
        assert [s3.read(key) for key in kept] == [lost[key] for key in kept]

"""The RayJob: what of it can be known without a Kubernetes cluster."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from sweep.engine.autoscaling import autoscaling_limit
from sweep.grid.loader import load_grid
from sweep.run import parser

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def job() -> dict[str, Any]:
    return dict(yaml.safe_load((ROOT / "clusters/kubernetes/rayjob.yaml").read_text())["spec"])


def test_its_ray_is_the_one_that_is_installed(job: dict[str, Any]) -> None:
    pinned = re.search(r"^ray==(\S+)$", (ROOT / "constraints.txt").read_text(), re.M)
    assert pinned is not None
    assert job["rayClusterSpec"]["rayVersion"] == pinned[1]


def test_it_lets_nobody_in_and_costs_nothing_afterwards(job: dict[str, Any]) -> None:
    assert job["rayClusterSpec"]["authOptions"] == {"mode": "token"}
    assert job["shutdownAfterJobFinishes"] is True
    assert job["rayClusterSpec"]["workerGroupSpecs"][0]["minReplicas"] == 0


def test_its_command_is_one_of_ours(job: dict[str, Any]) -> None:
    program, *arguments = shlex.split(job["entrypoint"])
    assert [program, *arguments[:2]] == ["python", "-m", "sweep.run"]
    given = parser().parse_args(arguments[2:])
    assert load_grid(given.grid).file.axes


def test_it_grows_to_what_the_run_is_told(job: dict[str, Any]) -> None:
    given = parser().parse_args(shlex.split(job["entrypoint"])[3:]).cluster
    told = autoscaling_limit(str(ROOT / given.removeprefix("/home/ray/scenario-sweep/")))
    workers = job["rayClusterSpec"]["workerGroupSpecs"][0]
    asked = workers["template"]["spec"]["containers"][0]["resources"]["requests"]
    one = (int(asked["cpu"]), int(asked["nvidia.com/gpu"]))
    assert told.nodes == ((0, 0), *[one] * workers["maxReplicas"])

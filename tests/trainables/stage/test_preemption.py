"""Tests of looking whether a node is drained: seldom asked, never forgotten, never a fault. The rest: test_lost_nodes."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import pytest
import ray

from trainables.stage import preemption


def test_the_cluster_is_asked_once_a_second_and_what_it_said_is_kept() -> None:
    asked: list[float] = []
    times = [0.0, 0.5, 0.9, 1.25, 1.5, 2.5, 2.75, 9.0]

    def cluster() -> bool:
        asked.append(times[0])
        return times[0] >= 2

    look = preemption.throttled(cluster, lambda: times[0])
    said = []
    while times:
        said.append(look())
        times.pop(0)
    assert said == [False] * 5 + [True] * 3
    assert asked == [0.0, 1.25, 2.5]


def test_a_cluster_that_does_not_answer_drains_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []

    def silent() -> set[str]:
        asked.append(True)
        raise ConnectionError

    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    monkeypatch.setattr(ray, "get_runtime_context", lambda: SimpleNamespace(get_node_id=lambda: "a node"))
    monkeypatch.setattr(preemption, "draining_nodes", silent)
    assert not preemption.is_draining()
    assert asked


def test_where_there_is_no_cluster_none_is_started_to_ask() -> None:
    """Ray would: at the first question, and open to all."""
    code = "import ray; from trainables.stage.preemption import is_draining; print(is_draining(), ray.is_initialized())"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert ran.stdout.split() == ["False", "False"]

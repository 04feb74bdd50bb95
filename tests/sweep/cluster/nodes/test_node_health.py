"""What is wrong with nodes that were looked at."""

from __future__ import annotations

from typing import Any

import pytest

from sweep.cluster.nodes import node_health

GB = 10**9


def node(address: str, **differs: Any) -> dict[str, Any]:
    """One that is well, but for what differs."""
    return {
        "address": address,
        "host": "name",
        "declared_gpus": 1,
        "gpus": 1,
        "versions": {"python": "3.12.3", "ray": "2.60.0"},
        "code": "c0de",
        "shm_free": 8 * GB,
        "disk_free": 100 * GB,
        "skew": 0.1,
        "storage": None,
        **differs,
    }


@pytest.mark.parametrize(
    ("differs", "said"),
    [
        ({"versions": {"python": "3.12.3", "ray": "2.59.0"}}, "ray is 2.59.0, on 10.0.0.1 it is 2.60.0"),
        ({"versions": {"python": "3.11.2", "ray": "2.60.0"}}, "python is 3.11.2, on 10.0.0.1 it is 3.12.3"),
        ({"code": "01d"}, "its copy of the project differs from that on 10.0.0.1"),
        ({"gpus": 0}, "1 GPUs are declared to Ray, the NVIDIA driver shows 0"),
        ({"skew": 61.0}, "its clock is off by 61 s"),
        ({"storage": "cannot write: denied"}, "the storage: cannot write: denied"),
        ({"broken": "ModuleNotFoundError: No module named 'sweep'"}, "No module named 'sweep'"),
    ],
)
def test_a_node_that_differs_is_named_with_what_differs(differs: dict[str, Any], said: str) -> None:
    (error,) = node_health.errors_of([node("10.0.0.1"), node("10.0.0.2", **differs)])
    assert error.startswith("10.0.0.2: ")
    assert said in error


def test_low_space_is_reported_and_stops_no_study() -> None:
    full = node("10.0.0.2", disk_free=GB, shm_free=None)
    assert node_health.errors_of([node("10.0.0.1"), full]) == []
    assert list(node_health.low_space(full)) == [
        "10.0.0.2: 0.0 GB are free in shared memory, 1 are recommended",
        "10.0.0.2: 1.0 GB are free in the temporary folder, 5 are recommended",
    ]

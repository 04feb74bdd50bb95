"""What a cluster may grow to, and the stages that are handed out ahead of it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from sweep.engine.autoscaling import ON_HEAD, autoscaling_limit
from sweep.engine.capacity import slots, worker_shape
from sweep.engine.ray_session import ClusterResources
from trainables.errors import UserError
from trainables.runtime import Workers

ROOT = Path(__file__).parents[3]


def test_the_cluster_file_of_the_project_grows_to_eight_gpus_from_none() -> None:
    largest = autoscaling_limit(str(ROOT / "cluster.yaml"))
    assert largest.nodes == ((0, 0), *[(4, 1)] * 8)
    worker = worker_shape(ClusterResources(((0, 0),)) + largest, threads=2)
    assert worker == Workers(1, 2.0, 1.0)
    assert (slots(ClusterResources(((0, 0),)), worker), slots(largest, worker)) == (0, 8)


def test_the_bound_on_all_nodes_is_kept_and_used_for_gpus_first(tmp_path: Path) -> None:
    file = tmp_path / "cluster.yaml"
    kinds = {
        "head": {"resources": {"CPU": 2}},
        "cheap": {"resources": {"CPU": 8}, "max_workers": 5},
        "quick": {"resources": {"CPU": 4, "GPU": 2, "accelerator_type:A10G": 1}, "max_workers": 2},
    }
    file.write_text(yaml.safe_dump({"max_workers": 3, "head_node_type": "head", "available_node_types": kinds}))
    assert autoscaling_limit(str(file)) == ClusterResources(((2, 0), (4, 2), (4, 2), (8, 0)), ("A10G",))
    assert autoscaling_limit(str(file)).devices == ("A10G",)


def test_the_file_that_ray_up_left_on_the_head_is_read_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert autoscaling_limit(None) == ClusterResources(())
    (tmp_path / ON_HEAD.name).write_text((ROOT / "cluster.yaml").read_text())
    assert autoscaling_limit(None).gpus == 8


@pytest.mark.parametrize(
    "content", ["- a", "a: [", "available_node_types: {a: 3}", "max_workers: many\navailable_node_types: {}"]
)
def test_what_is_no_cluster_file_is_a_user_error(tmp_path: Path, content: str) -> None:
    file = tmp_path / "cluster.yaml"
    file.write_text(content)
    with pytest.raises(UserError, match="cannot read the cluster file"):
        autoscaling_limit(str(file))
    with pytest.raises(UserError, match="cannot read the cluster file"):
        autoscaling_limit(str(tmp_path / "absent"))

"""Each private part of Ray is there as we use it: a version that moved one fails here, with what relies on it."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sweep.compat import ray as compat
from tests.sweep.support.private_parts import Part, find, private_imports

ROOT = Path(__file__).parents[3]
ACTOR_MANAGER = "ray.air.execution._internal.actor_manager"
PARTS = [
    Part("ray._private.ray_constants", "RAY_DISABLE_FAILURE_SIGNAL_HANDLER", compat.disable_signal_handler),
    Part("ray._raylet", "AuthenticationTokenLoader.instance", compat.reload_authentication),
    Part("ray._raylet", "AuthenticationTokenLoader.reset_cache", compat.reload_authentication),
    Part("ray._raylet", "Config.initialize", compat.reload_authentication),
    Part("ray._raylet", "GcsClient", compat.alive_nodes),
    Part("ray._raylet", "InnerGcsClient.get_all_node_info", compat.alive_nodes),
    Part("ray._raylet", "InnerGcsClient.drain_node", compat.drain_node),
    Part("ray._private.services", "canonicalize_bootstrap_address", compat.alive_nodes, ("addr",)),
    Part("ray._private.services", "get_node_ip_address", compat.this_node_address, ()),
    Part("ray.core.generated.autoscaler_pb2", "DRAIN_NODE_REASON_PREEMPTION", compat.drain_node),
    Part("ray.autoscaler._private.util", "prepare_config", compat.validate_cluster_config, ("config",)),
    Part("ray.autoscaler._private.util", "validate_config", compat.validate_cluster_config, ("config",)),
    Part(
        "ray.autoscaler._private.providers",
        "_get_node_provider",
        compat.cloud_nodes,
        ("provider_config", "cluster_name"),
    ),
    Part(
        ACTOR_MANAGER,
        "RayActorManager._actor_task_failed",
        compat.out_of_memory_as_lost,
        ("self", "tracked_actor_task", "exception"),
    ),
    Part("ray.tune.experiment.trial", "_TemporaryTrialState", compat.trial_actor, ()),
    Part("ray.scripts.scripts", "main", compat.command),
]
READ_BY = {
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "ray._private.accelerators.accelerator",
    "RAY_AIR_NEW_OUTPUT": "ray.tune.experimental.output",
    "RAY_DEDUP_LOGS": "ray._private.ray_constants",
    "RAY_DEDUP_LOGS_SKIP_REGEX": "ray._private.ray_constants",
    "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "ray.train.constants",
    "RAY_USAGE_STATS_ENABLED": "ray._common.usage.usage_constants",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "ray.tune.utils.callback",
    "TUNE_DISABLE_SIGINT_HANDLER": "ray.tune.tune",
    "TUNE_GLOBAL_CHECKPOINT_S": "ray.tune.execution.tune_controller",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "ray.tune.execution.experiment_state",
    compat.MAX_PENDING_TRIALS: "ray.tune.execution.tune_controller",
}
"""Variable -> the module of Ray that names it."""


@pytest.mark.parametrize("part", PARTS, ids=str)
def test_ray_has_the_private_part(part: Part) -> None:
    find(part, "ray")


def test_every_private_import_is_in_the_list() -> None:
    imported = set(private_imports(compat))
    assert len(imported) > 8
    listed = {str(part) for part in PARTS}
    missing = [name for name in imported if not any(f"{part}.".startswith(f"{name}.") for part in listed)]
    assert not missing, f"add to PARTS what sweep.compat.ray uses of {missing}"


@pytest.mark.parametrize("name", [*compat.ENVIRONMENT, compat.MAX_PENDING_TRIALS])
def test_ray_reads_the_setting(name: str) -> None:
    spec = importlib.util.find_spec(READ_BY[name])
    assert spec is not None, f"Ray has no {READ_BY[name]}, which read {name}; see sweep.compat.ray"
    assert spec.origin is not None
    assert f'"{name}"' in Path(spec.origin).read_text(), f"{READ_BY[name]} no longer reads {name}; see sweep.compat.ray"


@pytest.mark.parametrize(
    ("module", "name", "ours"),
    [
        ("ray._common.constants", "HEAD_NODE_RESOURCE_NAME", compat.HEAD_RESOURCE),
        ("ray._common.utils", "RESOURCE_CONSTRAINT_PREFIX", compat.ACCELERATOR_PREFIX),
    ],
)
def test_ray_s_resources_have_the_names_we_use(module: str, name: str, ours: str) -> None:
    theirs = getattr(importlib.import_module(module), name, None)
    assert theirs == ours, f"{module}.{name} is {theirs!r}, sweep.compat.ray has {ours!r}"


def test_authentication_is_read_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from ray._raylet import AuthenticationMode, get_authentication_mode  # type: ignore[attr-defined]

    (tmp_path / "token").write_text("x" * 64)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "token"))
    before = os.environ.get("RAY_AUTH_MODE")
    try:
        for mode, expected in (("token", AuthenticationMode.TOKEN), ("disabled", AuthenticationMode.DISABLED)):
            os.environ["RAY_AUTH_MODE"] = mode
            compat.reload_authentication()
            assert get_authentication_mode() == expected, "Ray keeps the mode it read first; see reload_authentication"
    finally:
        os.environ.pop("RAY_AUTH_MODE")
        os.environ.update({} if before is None else {"RAY_AUTH_MODE": before})
        compat.reload_authentication()


def test_an_actor_killed_for_memory_reaches_tune_as_lost() -> None:
    from ray.air.execution._internal.actor_manager import RayActorManager
    from ray.exceptions import OutOfMemoryError, RayActorError

    manager = RayActorManager(None)  # type: ignore[arg-type]
    seen: list[tuple[type, bool]] = []
    reports: list[bool] = []
    actor = SimpleNamespace(actor_id=1, _on_error=None)
    task: Any = SimpleNamespace(
        _tracked_actor=actor, _on_error=lambda _, error: seen.append((type(error), reports[-1]))
    )
    original = RayActorManager._actor_task_failed
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RayActorManager, "_cleanup_actor", lambda self, tracked_actor: None)
        with compat.out_of_memory_as_lost(reports.append):
            manager._actor_task_failed(task, OutOfMemoryError("full"))
            manager._actor_task_failed(task, RayActorError())
        assert seen == [(RayActorError, True), (RayActorError, False)]
        with pytest.raises(RuntimeError, match="unexpected exception"):  # the reason for all this
            manager._actor_task_failed(task, OutOfMemoryError("full"))
    assert RayActorManager._actor_task_failed is original


def test_a_trial_knows_its_actor() -> None:
    from ray.tune.experiment import Trial

    trial = Trial("nothing", stub=True)
    trial.set_ray_actor(None)
    assert compat.trial_actor(trial) is None
    trial.temporary_state.ray_actor = "handle"  # type: ignore[assignment]
    assert compat.trial_actor(trial) == "handle"


def test_a_cluster_that_is_not_there_is_a_connection_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr("ray._private.services.canonicalize_bootstrap_address", lambda address: None)
    with pytest.raises(ConnectionError, match="no cluster at auto"):
        compat.alive_nodes("auto")


def test_the_tested_versions_are_those_of_the_project() -> None:
    """The lower bound of pyproject.toml is the lowest version tested; the pinned version lies between both."""
    requirements = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    (lowest,) = [found[1] for line in requirements if (found := re.match(r"ray\[.*\]>=([\d.]+),", line))]
    (pinned,) = re.findall(r"^ray==(\S+)$", (ROOT / "constraints.txt").read_text(), re.M)
    first, last = (tuple(map(int, version.split("."))) for version in compat.TESTED)
    assert tuple(map(int, lowest.split("."))) == first[: lowest.count(".") + 1], (
        "sweep.compat.ray.TESTED, pyproject.toml"
    )
    assert first <= tuple(map(int, pinned.split("."))) <= last, (
        "run `python -m tests.sweep.versions`, then raise TESTED"
    )

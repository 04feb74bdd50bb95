"""What ``trainables`` takes from Ray beside its public interface is there as we use it."""

from __future__ import annotations

from sweep.compat import ray as of_sweep
from tests.sweep.support.private_parts import Part, find, private_imports
from trainables.compat import ray as compat

STATE_CLASS = Part("ray._private.state", "GlobalState", compat.draining_nodes)
DRAINING = Part("ray._private.state", "GlobalState.get_draining_nodes", compat.draining_nodes, ("self",))
STATE = Part("ray._private.state", "state", compat.draining_nodes)


def test_ray_tells_which_nodes_it_drains() -> None:
    find(DRAINING, "ray")
    assert isinstance(find(STATE, "ray"), find(STATE_CLASS, "ray"))


def test_every_private_import_is_in_the_list() -> None:
    assert set(private_imports(compat)) == {str(STATE)}


def test_ray_train_is_told_to_try_nothing_again() -> None:
    budgets = vars(compat.no_retries())
    assert budgets["max_failures"] == budgets["controller_failure_limit"] == 0
    assert budgets.get("max_preemption_failures", 0) == 0
    counted = {name for name in budgets if name.startswith("max_") or name.endswith("_limit")}
    known = {"max_failures", "controller_failure_limit", "max_preemption_failures"}
    assert counted <= known, f"Ray Train has a further budget of retries, {counted - known}: see no_retries"


def test_both_packages_were_tested_with_the_same_versions() -> None:
    assert of_sweep.TESTED == compat.TESTED

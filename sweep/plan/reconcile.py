"""Compares a plan with a study: stages that are new, no longer planned, or stale."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sweep.plan.plan import Plan
from trainables.hashing import short_key, tidy_rate
from trainables.specs import Stage
from trainables.store import layout


@dataclass(frozen=True)
class GridEdit:
    """What an edit of the grid means for a study.

    Attributes:
        new: names of the planned stages that the study has no folder of.
        kept: names of the planned stages that it has a folder of, in whatever state.
        left_alone: folders of stages that are no longer planned; they are not touched.
    """

    new: tuple[str, ...]
    kept: tuple[str, ...]
    left_alone: tuple[str, ...]


def reconcile(plan: Plan, folders: Iterable[str]) -> GridEdit:
    """Compare a plan with the stage folders of a study, by the keys in their names: a stage may have been renamed.

    Args:
        plan: of the edited grid.
        folders: names of the study's stage folders.
    """
    begun = {name.rpartition("-")[2]: name for name in folders}
    planned = {short_key(stage.key): stage for stage in plan.stages if stage.key is not None}
    return GridEdit(
        tuple(stage.name for stage in plan.stages if short_key(stage.key) not in begun),
        tuple(stage.name for key16, stage in planned.items() if key16 in begun),
        tuple(name for key16, name in begun.items() if key16 not in planned),
    )


def stale(stages: Iterable[Stage], results: Mapping[str, Mapping[str, Any]]) -> set[str]:
    """Return the keys of the done stages whose inputs have changed since.

    A stage is stale if its upstream stage no longer has the weights it started from, or its range test no longer finds
    the rate it trained at. Only direct upstream stages count: one that is done again may end with the same weights, so
    call this again whenever a stage is done.

    Args:
        stages: of the plan.
        results: key -> the committed ``result.json``, of each stage that is done.
    """
    done = [(stage, results[stage.key]) for stage in stages if stage.key is not None and stage.key in results]
    return {
        str(stage.key) for stage, r in done if _from_other_weights(r, results) or _at_another_rate(stage, r, results)
    }


def _from_other_weights(result: Mapping[str, Any], results: Mapping[str, Mapping[str, Any]]) -> bool:
    for key, started_from in result.get("upstream_digests", {}).items():
        now = results.get(key, {}).get("digests", {}).get(layout.WEIGHTS, started_from)
        if now != started_from:
            return True
    return False


def _at_another_rate(stage: Stage, result: Mapping[str, Any], results: Mapping[str, Mapping[str, Any]]) -> bool:
    found = stage.found_rate
    if found is None or found.key is None or "learning_rate" not in results.get(found.key, {}):
        return False
    now = tidy_rate(float(results[found.key]["learning_rate"]) * found.times)
    return not math.isclose(now, float(result["learning_rate"]), rel_tol=1e-9)

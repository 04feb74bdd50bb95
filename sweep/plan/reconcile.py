"""An edited grid against what a study holds: what is new, what no longer belongs, what is stale."""

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
        new: names of the planned stages that the study has not begun.
        kept: names of those that it has, whatever became of them.
        left_alone: folders of stages that the grid no longer asks for: they stay as they are.
    """

    new: tuple[str, ...]
    kept: tuple[str, ...]
    left_alone: tuple[str, ...]


def reconcile(plan: Plan, folders: Iterable[str]) -> GridEdit:
    """Compare a plan with the names of the stage folders of a study. A renamed stage is known by its key."""
    begun = {name.rpartition("-")[2]: name for name in folders}
    planned = {short_key(stage.key): stage for stage in plan.stages if stage.key is not None}
    return GridEdit(
        tuple(stage.name for stage in plan.stages if short_key(stage.key) not in begun),
        tuple(stage.name for key16, stage in planned.items() if key16 in begun),
        tuple(name for key16, name in begun.items() if key16 not in planned),
    )


def stale(stages: Iterable[Stage], results: Mapping[str, Mapping[str, Any]]) -> set[str]:
    """Return the keys of the done stages that what they were made from no longer supports.

    That is: their upstream stage no longer has the weights they started from, or their range test no longer
    finds the rate they trained at. An upstream stage that is done again may end with the same; so what stands
    further below is not stale before that is known: ask again when a stage is done.

    Args:
        stages: of the plan.
        results: the committed ``result.json`` of each stage that is done, by key.
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

"""An edited grid against what a study holds: what is new, what no longer belongs, what is stale."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sweep.plan import Plan
from trainables.specs import Stage

WEIGHTS = "weights.safetensors"


@dataclass(frozen=True)
class Edited:
    """What an edit of the grid means for a study.

    Attributes:
        new: names of the planned stages that the study has not begun.
        kept: names of those that it has, whatever became of them.
        left_alone: folders of stages that the grid no longer asks for: they stay as they are.
    """

    new: tuple[str, ...]
    kept: tuple[str, ...]
    left_alone: tuple[str, ...]


def reconcile(plan: Plan, folders: Iterable[str]) -> Edited:
    """Compare a plan with the names of the stage folders of a study. A renamed stage is known by its key."""
    begun = {name.rpartition("-")[2]: name for name in folders}
    planned = {str(stage.key)[:16]: stage for stage in plan.stages if stage.key is not None}
    return Edited(
        tuple(stage.name for stage in plan.stages if str(stage.key)[:16] not in begun),
        tuple(stage.name for key16, stage in planned.items() if key16 in begun),
        tuple(name for key16, name in begun.items() if key16 not in planned),
    )


def stale(stages: Iterable[Stage], results: Mapping[str, Mapping[str, Any]]) -> set[str]:
    """Return the keys of the done stages whose upstream stage no longer has the weights they started from.

    An upstream stage that is done again may end with the same weights; so what stands further below is not
    stale before that is known: ask again when a stage is done.

    Args:
        stages: of the plan.
        results: the committed ``result.json`` of each stage that is done, by key.
    """
    return {str(s.key) for s in stages if s.key in results and _started_from_others(results[s.key], results)}


def _started_from_others(result: Mapping[str, Any], results: Mapping[str, Mapping[str, Any]]) -> bool:
    for key, started_from in result.get("upstream_digests", {}).items():
        now = results.get(key, {}).get("digests", {}).get(WEIGHTS, started_from)
        if now != started_from:
            return True
    return False

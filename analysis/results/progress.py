"""The state of each planned stage, and why a stage is not done."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from analysis.results.plan_file import PlanFile, PlannedStage, one_line
from trainables.hashing import KEY_CHARS, short_key
from trainables.store import layout
from trainables.store.study import StageFolder, Study

State = Literal["refused", "failed", "blocked", "running", "not run", "excluded"]
"""Why a cell does not count. ``refused``: it has a result that failed verification."""
LONGEST_MESSAGE = 300
"""Characters of a failure's message that are shown."""


@dataclass(frozen=True)
class StudyProgress:
    """States and folders of the planned stages, from two listings of the study folder.

    Attributes:
        stages: planned stages by key and by name.
        states: ``done`` or ``failed`` by short key.
        folders: folders of the stages that were begun, by short key.
        driven: whether a driver is running the study.
    """

    stages: Mapping[str, PlannedStage]
    states: Mapping[str, str]
    folders: Mapping[str, StageFolder]
    driven: bool = False

    @classmethod
    def of(cls, study: Study, plan: PlanFile) -> StudyProgress:
        """List the folder of a study.

        Args:
            study: the study.
            plan: its plan.
        """
        stages = {name: stage for stage in plan.stages for name in (stage.key, stage.name) if name is not None}
        folders = {folder.name[-KEY_CHARS:]: folder for folder in study.folders()}
        return cls(stages, study.states(), folders, _is_driven(study))

    def state(self, stage: PlannedStage) -> str | None:
        """Return ``done``, ``failed``, or None for a stage with neither result nor failure."""
        return self.states.get(short_key(stage.key))

    def folder(self, key: str | None) -> StageFolder | None:
        """Return the folder of the stage with this key, or None if it was not begun."""
        return self.folders.get(short_key(key))

    def upstream(self, stage: PlannedStage) -> list[PlannedStage]:
        """Return the stages that this one needs, those missing in the plan left out."""
        return [self.stages[key] for key in stage.upstream if key in self.stages]

    def why_not_done(self, stage: PlannedStage) -> tuple[State, str]:
        """Return the state of a stage without a result, and the reason in words."""
        if stage.excluded is not None:
            return "excluded", f"excluded by the rule {stage.excluded}"
        if self.state(stage) == "failed":
            return "failed", f"failed: {_failure(self.folder(stage.key))}"
        blocker = self._blocker(stage)
        if blocker is not None:
            return "blocked", f"blocked by {blocker.name}"
        if stage.key is None:
            return "not run", "not run: data or weights were not at hand when it was planned"
        if self.folder(stage.key) is None:
            return "not run", "not run"
        return ("running", "running") if self.driven else ("not run", "not run to its end")

    def _blocker(self, stage: PlannedStage) -> PlannedStage | None:
        """Return the nearest failed upstream stage. The plan has no cycles."""
        for upstream in self.upstream(stage):
            state = self.state(upstream)
            if state == "failed":
                return upstream
            further = None if state == "done" else self._blocker(upstream)
            if further is not None:
                return further
        return None


def _is_driven(study: Study) -> bool:
    """Return whether a driver holds the study. A driver of this machine must be alive; one elsewhere cannot be checked."""
    try:
        holder = study.storage.read_json(layout.DRIVER)
        if holder["host"] != socket.gethostname():
            return True
        if int(holder["process"]) == os.getpid():  # the driver itself writes its last report
            return False
        os.kill(int(holder["process"]), 0)
    except PermissionError:  # the process exists and belongs to another user
        return True
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return True


def _failure(folder: StageFolder | None) -> str:
    try:
        failure: Mapping[str, Any] = (folder and folder.failure()) or {}
    except (ValueError, TypeError, OSError) as error:
        return f"{layout.FAILURE} cannot be read: {one_line(error)}"
    message = " ".join(str(failure.get("message", "")).split())
    return f"{failure.get('class', 'unknown error')}: {message[:LONGEST_MESSAGE]}"

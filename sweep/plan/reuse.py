"""Copies finished stages from another study: verified, with their origin."""

from __future__ import annotations

from collections.abc import Sequence

from trainables.errors import UserError
from trainables.specs import Stage
from trainables.store import layout
from trainables.store.study import StageFolder, Study


def take_over(stages: Sequence[Stage], study: Study, other: Study) -> tuple[list[Stage], list[str]]:
    """Copy the results that a study lacks and another one has. Stages with the same key are the same work.

    Args:
        stages: of the plan.
        study: to copy to.
        other: to copy from.

    Returns:
        The stages that were copied, and one message for each that could not be.

    Raises:
        UserError: if the other study is this one.
    """
    if other.storage.path() == study.storage.path():
        raise UserError(f"--reuse names the study itself: {study.storage.path()}. Give another study's folder")
    lacking = {str(stage.key) for stage in stages} - study.committed(stages).keys()
    theirs = other.committed(stages)
    taken: list[Stage] = []
    faults: list[str] = []
    for stage in stages:
        if stage.key in lacking and str(stage.key) in theirs:
            try:
                _copy(stage, other.folder(stage), study.folder(stage), theirs[str(stage.key)], other)
                taken.append(stage)
            except (ValueError, OSError) as error:
                faults.append(f"{stage.name}: {error}")
    return taken, faults


def _copy(stage: Stage, source: StageFolder, target: StageFolder, result: dict[str, object], other: Study) -> None:
    """Copy the files that the result names, the result last: nothing is committed unless all digests are right.

    Raises:
        ValueError: if the specification is of another stage, or a file is missing or damaged.
    """
    if Stage.from_document(source.stage()).key != stage.key or result.get("key") != stage.key:
        raise ValueError(f"{source.path(layout.STAGE)} is of another stage than its folder is named after")
    digests = result.get("digests")
    contents = {file: source.read_verified(file, result) for file in (digests if isinstance(digests, dict) else {})}
    target.begin(stage)
    for file, content in contents.items():
        target.files.write(file, content)
    header = other.header or {}
    origin = result.get("origin") or {"study": other.storage.path(), "uid": header.get("uid")}
    target.commit({**result, "origin": origin})

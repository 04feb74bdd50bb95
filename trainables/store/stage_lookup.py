"""Find a stage by its key, its name or the name of its folder: the same rule for every command."""

from __future__ import annotations

from collections.abc import Iterable

from trainables.errors import UserError, suggestion
from trainables.hashing import KEY_CHARS
from trainables.specs import Stage
from trainables.store.layout import STAGES
from trainables.store.study import StageFolder, Study

LEAST_KEY = 6
"""Fewest characters of a key that are accepted."""


def is_key_of(wanted: str, key: str | None) -> bool:
    """Return whether a text is the beginning of a key, ``LEAST_KEY`` characters or more.

    Args:
        wanted: the text; it may be longer than ``key``.
        key: a whole key, or the characters of it in a folder's name; None: not known.
    """
    if key is None or len(wanted) < LEAST_KEY:
        return False
    return key.startswith(wanted[: len(key)])


def planned_stages(stages: Iterable[Stage], wanted: str) -> list[Stage]:
    """Return the planned stages that a text names.

    Args:
        stages: of the plan.
        wanted: a name, or the beginning of a key.
    """
    return [stage for stage in stages if wanted == stage.name or is_key_of(wanted, stage.key)]


def begun_stages(folders: Iterable[StageFolder], wanted: str) -> list[StageFolder]:
    """Return the stage folders that a text names.

    Args:
        folders: to search.
        wanted: the beginning of a key, a stage's name, or a folder's name.
    """
    found = []
    for folder in folders:
        readable, _, key = folder.name.rpartition("-")
        if wanted in (folder.name, readable.partition("-")[2]) or is_key_of(wanted, key):
            found.append(folder)
    return found


def find_planned(stages: Iterable[Stage], wanted: str, option: str) -> Stage:
    """Return the one planned stage that ``wanted`` names.

    Args:
        stages: of the plan.
        wanted: a name, or the beginning of a key.
        option: of the command line that ``wanted`` came from, for the message.

    Raises:
        UserError: if the plan has no such stage, or more than one.
    """
    stages = list(stages)
    found = planned_stages(stages, wanted)
    if len(found) != 1:
        hint = suggestion(wanted, [stage.name for stage in stages])
        raise UserError(f"{option} {wanted} names {len(found)} stages of this plan{hint}; --plan --json lists them")
    return found[0]


def find_begun(study: Study, wanted: str, option: str = "--stage") -> StageFolder:
    """Return the folder of the one stage of a study that ``wanted`` names.

    Args:
        study: whose folders are searched.
        wanted: the beginning of a key, a stage's name, or a folder's name.
        option: of the command line that ``wanted`` came from, for the message.

    Raises:
        UserError: if there is none, or more than one.
    """
    folders = study.folders()
    found = begun_stages(folders, wanted)
    if len(found) == 1:
        return found[0]
    names = [folder.name for folder in found or folders]
    listed = ", ".join(names[:3]) + (" …" if len(names) > 3 else "")
    what = f"names {len(found)} stages of {study.storage.path(STAGES)}"
    hint = "" if found else suggestion(wanted, names)
    raise UserError(
        f"{option} {wanted} {what}{hint}: {listed or 'it has none'}. Give a key (its first {KEY_CHARS} characters are "
        "in the folder's name), a name, or the name of a folder"
    )

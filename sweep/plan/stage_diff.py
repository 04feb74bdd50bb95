"""Why two stages have different keys: the fields of their specifications that differ."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from sweep.plan.plan import Plan
from trainables.errors import UserError, suggestion
from trainables.hashing import short_key
from trainables.store import layout
from trainables.store.stage_lookup import begun_stages, planned_stages
from trainables.store.study import Study

ABSENT = "(absent)"
LABELS = frozenset({"name", "architecture", "scenario", "data.name", "initial.name"})
"""Fields for people, which are in no key."""
Document = Mapping[str, Any]


def differences(one: Document, other: Document) -> list[tuple[str, Any, Any]]:
    """Return the fields in which two stage documents differ, their keys left out.

    Args:
        one: as ``Stage.document`` returns.
        other: the same of the other stage.

    Returns:
        (dotted name, value of one, value of the other) of each field.
    """
    flat = [_flat(document) for document in (one, other)]
    fields = [field for field in dict.fromkeys([*flat[0], *flat[1]]) if field != "key"]
    pairs = ((field, flat[0].get(field, ABSENT), flat[1].get(field, ABSENT)) for field in fields)
    return [(field, a, b) for field, a, b in pairs if repr(a) != repr(b)]


def stage_diff(plan: Plan, study: Study, one: str, other: str) -> str:
    """Return how two stages differ, as text for ``--why``.

    Args:
        plan: whose stages are looked at first.
        study: whose folders are looked at for stages that are not in the plan.
        one: name, or beginning of the key, of a stage.
        other: the same of the other stage.

    Raises:
        UserError: if a name or key matches no stage, or several.
    """
    documents = [stage_document(plan, study, wanted) for wanted in (one, other)]
    lines = [f"{'AB'[i]}: {document['name']} ({document['key']})" for i, document in enumerate(documents)]
    found = differences(*documents)
    names = {stage.key: f"{short_key(stage.key)} ({stage.name})" for stage in plan.stages if stage.key is not None}
    lines += [
        f"{field}{' (a label, not in the key)' if field in LABELS else ''}: {_text(a, names)} | {_text(b, names)}"
        for field, a, b in found
    ]
    pairs = zip(*(document["upstream"] for document in documents), strict=False)
    lines += [f"their upstream stages differ too: --why {_short(a)} {_short(b)}" for a, b in pairs if a != b]
    return "\n".join(lines if found else [*lines, "they do not differ"])


def _short(upstream: str) -> str:
    """The beginning of a key; a name, where the key is not known, in full."""
    return short_key(upstream) if re.fullmatch(r"[0-9a-f]{64}", upstream) else upstream


def _text(value: Any, names: Mapping[str, str]) -> str:
    """A value as text; a key as the name of its stage."""
    if isinstance(value, list):
        return ", ".join(_text(one, names) for one in value) or "none"
    return names.get(str(value), str(value))


def stage_document(plan: Plan, study: Study, wanted: str) -> dict[str, Any]:
    """Return the document of a stage of the plan, or else of the study.

    Args:
        plan: whose stages are looked at first.
        study: whose folders are looked at for stages that are not in the plan.
        wanted: name, or beginning of the key, of the stage.

    Raises:
        UserError: if it matches no stage, or several.
    """
    found = {stage.identifier: stage.document() for stage in planned_stages(plan.stages, wanted)}
    if not found:  # of an earlier grid: only its folder is left
        for folder in begun_stages(study.folders(), wanted):
            try:
                found[folder.name] = folder.stage()
            except (OSError, TypeError, ValueError) as error:
                raise UserError(f"cannot read {folder.path(layout.STAGE)}: {error}") from error
    if len(found) != 1:
        names = [stage.name for stage in plan.stages]
        raise UserError(
            f"--why {wanted} names {len(found)} stages of this plan and of {study.storage.path(layout.STAGES)}"
            f"{suggestion(wanted, names)}; --plan --json lists those of the plan"
        )
    return next(iter(found.values()))


def _flat(document: Document, above: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in document.items():
        if isinstance(value, dict) and value:
            flat |= _flat(value, f"{above}{name}.")
        else:
            flat[f"{above}{name}"] = list(value) if isinstance(value, tuple) else value
    return flat

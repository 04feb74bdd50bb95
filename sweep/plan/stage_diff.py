"""Why two stages are not the same work: the fields of their specifications that differ."""

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
"""Fields that people read and that are in no key."""
Document = Mapping[str, Any]


def differences(one: Document, other: Document) -> list[tuple[str, Any, Any]]:
    """Return the fields in which two stage documents differ, beside their keys: (dotted name, value, value)."""
    flat = [_flat(document) for document in (one, other)]
    fields = [field for field in dict.fromkeys([*flat[0], *flat[1]]) if field != "key"]
    pairs = ((field, flat[0].get(field, ABSENT), flat[1].get(field, ABSENT)) for field in fields)
    return [(field, a, b) for field, a, b in pairs if repr(a) != repr(b)]


def stage_diff(plan: Plan, study: Study, one: str, other: str) -> str:
    """Return how two stages differ, as text. Each is one of the plan or one that the study holds.

    Raises:
        UserError: if a name or key is that of no stage, or of several.
    """
    documents = [stage_document(plan, study, wanted) for wanted in (one, other)]
    lines = [f"{'AB'[i]}: {document['name']} ({document['key']})" for i, document in enumerate(documents)]
    found = differences(*documents)
    names = {stage.key: f"{short_key(stage.key)} ({stage.name})" for stage in plan.stages if stage.key is not None}
    lines += [
        f"{field}{' (a label, not in the key)' if field in LABELS else ''}: {_said(a, names)} | {_said(b, names)}"
        for field, a, b in found
    ]
    pairs = zip(*(document["upstream"] for document in documents), strict=False)
    lines += [f"what they start from differs as well: --why {_short(a)} {_short(b)}" for a, b in pairs if a != b]
    return "\n".join(lines if found else [*lines, "they do not differ"])


def _short(upstream: str) -> str:
    """The beginning of a key; a name, where the key is not known, as it is."""
    return short_key(upstream) if re.fullmatch(r"[0-9a-f]{64}", upstream) else upstream


def _said(value: Any, names: Mapping[str, str]) -> str:
    """A value as a person reads it: keys by the names of their stages."""
    if isinstance(value, list):
        return ", ".join(_said(one, names) for one in value) or "none"
    return names.get(str(value), str(value))


def stage_document(plan: Plan, study: Study, wanted: str) -> dict[str, Any]:
    """Return the document of the one stage of a name or of the beginning of a key: of the plan, or of the study.

    Raises:
        UserError: if there is no such stage, or several.
    """
    found = {stage.identifier: stage.document() for stage in planned_stages(plan.stages, wanted)}
    if not found:  # of an earlier grid: only its folder knows it
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

"""The options of an entry, checked and completed with their defaults: of a published entry in a process of its own.

The project's own entries import torch only when they are used; nobody knows what a published one imports. So a plan
has its options checked in a child process, which may take its time or fail without harm.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic import ValidationError

from trainables.child_process import run_child
from trainables.errors import UserError, suggestion
from trainables.frozen import Frozen
from trainables.hashing import canonical
from trainables.registry import PublishedEntry, registry_of

CHECK_SECONDS = 120.0
"""A child that imports torch from a slow network drive takes half a minute."""


def checked_options(kind: str, name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of an entry with every default written out, as plain values.

    Args:
        kind: a key of ``REGISTRIES``.
        name: of the entry.
        options: those that are given.

    Raises:
        UserError: if there is no such entry, or with every fault of its options.
    """
    source = registry_of(kind).source(name)
    if source is None:
        return completed(kind, name, options)
    try:
        text = canonical(dict(options))
    except TypeError as error:
        raise UserError(f"options of the {kind} {name}: {error}") from error
    answer = _asked_of_child(kind, name, text, CHECK_SECONDS)
    if "faults" in answer:
        raise UserError(f"{fault} (of {source.distribution} {source.version})" for fault in answer["faults"])
    return dict(answer["options"])


def completed(kind: str, name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Do what ``checked_options`` does, in this process.

    Args:
        kind: a key of ``REGISTRIES``.
        name: of the entry, which is imported.
        options: those that are given.

    Raises:
        UserError: if the entry cannot be imported, or with every fault of its options.
    """
    entry = registry_of(kind)[name]
    try:
        filled = _written_out(entry, options)
    except ValidationError as error:
        raise UserError(_fault(f"{kind} {name}", list(entry.model_fields), fault) for fault in error.errors()) from None
    except Exception as error:  # a validator or a constructor may raise anything
        raise UserError(f"options of the {kind} {name}: {type(error).__name__}: {error}") from error
    return filled


def _written_out(entry: type[Frozen], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options with their defaults as plain values, which say all: read again, they are the same options.

    Raises:
        ValidationError, TypeError, ValueError: if they are not valid, or could not be read again.
    """
    unwritten = [name for name, field in entry.model_fields.items() if field.exclude or field.validation_alias]
    if unwritten:
        raise TypeError(
            f"an option has neither alias nor exclude=True, but {', '.join(unwritten)}: they could not be hashed"
        )
    given = entry.model_validate(dict(options))
    _refuse_sets(given.model_dump())
    filled: dict[str, Any] = given.model_dump(mode="json")
    canonical(filled)
    for again in (entry.model_validate(dict(options)), entry.model_validate(filled)):
        if changed := [name for name in filled if getattr(again, name) != getattr(given, name)]:
            raise ValueError(
                f"{', '.join(changed)} is another value each time: its key would be too. Give it a fixed default"
            )
    return filled


def _refuse_sets(value: Any, name: str = "options") -> None:
    """Refuse sets: the order of their items is another in each process, so they have no faithful hash."""
    if isinstance(value, set | frozenset):
        raise TypeError(f"{name} is a set, which has no order to be hashed in: make it a tuple")
    for key, item in (
        value.items() if isinstance(value, dict) else enumerate(value if isinstance(value, list | tuple) else ())
    ):
        _refuse_sets(item, f"{name}.{key}")


def _fault(entry: str, known: list[str], fault: Any) -> str:
    place = ".".join(map(str, fault["loc"]))
    if fault["type"] == "extra_forbidden":
        there_are = f"there are {', '.join(known)}" if known else "it has none"
        return f"the {entry} has no option {place}; {there_are}{suggestion(place, known)}"
    found = "" if fault["type"] == "missing" else f", found {fault['input']!r}"
    return f"option {place} of the {entry}: {fault['msg'].lower()}{found}" if place else f"{entry}: {fault['msg']}"


@cache
def _asked_of_child(kind: str, name: str, options: str, seconds: float) -> dict[str, Any]:
    """Have a child process complete options; return ``{"options": …}``, or ``{"faults": […]}`` whatever became of it."""
    request = json.dumps({"kind": kind, "name": name, "options": json.loads(options)})
    came = run_child("trainables.entry_options_child", request, seconds)
    if came.timed_out:
        return {"faults": [f"the {kind} {name} did not check its options within {seconds:g} s: mend or uninstall it"]}
    try:
        return dict(json.loads(came.output))
    except ValueError:
        last = came.complaint or f"it said nothing, its exit status is {came.status}"
        return {"faults": [f"the {kind} {name} ended its process before it had checked its options: {last}"]}


def refuse_other_version(kind: str, name: str, distribution: str, version: str) -> None:
    """Refuse to use a published entry where another version of it is installed than the one that was planned.

    Args:
        kind: a key of ``REGISTRIES``.
        name: of the entry.
        distribution: that published it when the stage was planned.
        version: of that distribution.

    Raises:
        UserError: if it is not installed here, or is another version.
    """
    wanted = f"{distribution} {version}"
    found: PublishedEntry | None = None
    try:
        found = registry_of(kind).source(name)
    except UserError as error:
        raise UserError(f"the stage was planned with the {kind} {name} of {wanted}: {error}. Install it") from error
    here = f"{found.distribution} {found.version}" if found else "this project"
    if here != wanted:
        raise UserError(
            f"the stage was planned with the {kind} {name} of {wanted}, here it is that of {here}: install the version "
            "that was planned, or plan anew"
        )

"""How a specification names the entries it uses: checked against the registries, and hashed with who publishes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import Field, ValidationInfo, model_validator
from pydantic_core import PydanticCustomError

from trainables.entry_options import checked_options, refuse_other_version
from trainables.errors import UserError
from trainables.frozen import Frozen
from trainables.registry import registry_of

AS_WRITTEN = {"entries": "as written"}
"""Validation context of a document of a stage: the entries it names are believed, since what it did can be read where
they are not installed."""
SECTION = {"entries": "names"}
"""Validation context of one section of a grid: entries are looked up by name; their options may stand in another section."""

NO_ENTRY, BAD_OPTIONS = "no_entry", "entry_options"
"""Types of the errors of pydantic that say so."""


def check_entry(kind: str, name: str, info: ValidationInfo) -> None:
    """Refuse the name of an entry that there is not.

    Args:
        kind: a key of ``trainables.registry.REGISTRIES``.
        name: of the entry.
        info: of the validation under way; see ``AS_WRITTEN``.

    Raises:
        PydanticCustomError: if there is no such entry, or two of that name.
    """
    if info.context != AS_WRITTEN:
        try:
            registry_of(kind).source(name)
        except UserError as error:
            raise PydanticCustomError(NO_ENTRY, "{text}", {"text": "; ".join(error.faults)}) from error


def complete_options(kind: str, name: str, options: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
    """Return the options of an entry with its defaults, so that the key is of all of them.

    Args:
        kind: a key of ``trainables.registry.REGISTRIES``.
        name: of the entry.
        options: those that are given.
        info: of the validation under way; see ``AS_WRITTEN`` and ``SECTION``.

    Raises:
        PydanticCustomError: with every fault of the options.
    """
    if info.context in (AS_WRITTEN, SECTION):
        return options
    try:
        return checked_options(kind, name, options)
    except UserError as error:
        raise PydanticCustomError(BAD_OPTIONS, "{text}", {"text": "; ".join(error.faults)}) from error


class EntrySpec(Frozen):
    """An entry of a registry that is asked for by name, with its options. The name alone will do."""

    name: str
    options: dict[str, Any] = Field({})

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value


def complete_entries(kind: str, entries: Iterable[EntrySpec], info: ValidationInfo) -> tuple[EntrySpec, ...]:
    """Return entries with all their options.

    Args:
        kind: a key of ``trainables.registry.REGISTRIES``.
        entries: of that kind.
        info: of the validation under way.

    Raises:
        PydanticCustomError: if there is no such entry, or with every fault of its options.
    """
    completed, unknown, faults = list[EntrySpec](), list[str](), list[str]()
    for entry in entries:
        try:
            check_entry(kind, entry.name, info)
            options = complete_options(kind, entry.name, entry.options, info)
            completed.append(EntrySpec(name=entry.name, options=options))
        except PydanticCustomError as error:
            (faults if error.type == BAD_OPTIONS else unknown).append(error.message())
    if faults:  # alone, so that a check of the options tells no unknown name a second time
        raise PydanticCustomError(BAD_OPTIONS, "{text}", {"text": "; ".join(faults)})
    if unknown:
        raise PydanticCustomError(NO_ENTRY, "{text}", {"text": "; ".join(unknown)})
    return tuple(completed)


class Plugin(Frozen):
    """An entry that another distribution publishes, as a stage uses it.

    Attributes:
        options: of a reader. Those of the other kinds stand in the recipe.
    """

    kind: str
    name: str
    distribution: str
    version: str
    options: dict[str, Any] = Field({})

    @classmethod
    def of(cls, kind: str, name: str, options: Mapping[str, Any] | None = None) -> Plugin | None:
        """Return who publishes an entry; None: it is the project's own.

        Args:
            kind: a key of ``trainables.registry.REGISTRIES``.
            name: of the entry.
            options: see ``Plugin``.

        Raises:
            UserError: if there is no such entry.
        """
        source = registry_of(kind).source(name)
        if source is None:
            return None
        return cls(
            kind=kind, name=name, distribution=source.distribution, version=source.version, options=dict(options or {})
        )

    def refuse_other_version(self) -> None:
        """Raise UserError where this entry is not installed, or in another version."""
        refuse_other_version(self.kind, self.name, self.distribution, self.version)

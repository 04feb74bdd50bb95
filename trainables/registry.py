"""Entries of one kind by name: the project's own, and those that other distributions publish as entry points."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Callable, Iterable
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar

from trainables.errors import UserError, suggestion

PREFIX = "scenario_sweep."
"""Begins the name of every entry-point group that is looked at."""

REGISTRIES = {
    "reader": "trainables.data.readers.base:readers",
    "augmentation": "trainables.data.loading.augmentations.base:augmentations",
    "optimizer": "trainables.training.optimizers.base:optimizers",
    "learning-rate schedule": "trainables.training.lr_schedule:lr_schedules",
    "stopping rule": "trainables.training.early_stopping:stopping_rules",
    "metric": "trainables.training.metrics:metrics",
}
"""Kind of entry that a stage is made of -> module and name of its registry. By name, because a specification is checked
against the registries, and they lie in rooms that import the specifications."""

Entry = TypeVar("Entry")


@dataclass(frozen=True)
class PublishedEntry:
    """An entry of another distribution, as its metadata names it. It is not loaded.

    Attributes:
        distribution: name of the distribution, as pip shows it.
        version: its version.
        point: where the entry is imported from.
    """

    distribution: str
    version: str
    point: EntryPoint


class Registry(Generic[Entry]):
    """The entries of one kind, for example the optimizers.

    The project's own register themselves with ``@registry.register("name")`` in a module of ``package``, all of whose
    modules are imported when an entry is first asked for. Other distributions publish theirs as entry points of
    ``group``: their names come from the metadata, and nothing of them is imported before the entry itself is.
    """

    def __init__(
        self, kind: str, group: str, package: str, base: type | None = None, reserved: Iterable[str] = ()
    ) -> None:
        """Name the kind and where its entries are found.

        Args:
            kind: what an entry is, in messages: ``optimizer``.
            group: the entry-point group, without ``scenario_sweep.``: ``optimizers``.
            package: the project's folder of entries, or a module that holds them all.
            base: the class that every entry derives from; None: entries are of any type.
            reserved: names that no entry may have.
        """
        self.kind, self.group = kind, PREFIX + group
        self._package, self._base, self._reserved = package, base, frozenset(reserved)
        self._own: dict[str, Entry] = {}
        self._is_imported = False

    def register(self, name: str) -> Callable[[Entry], Entry]:
        """Return the decorator that makes a class or function the project's entry of a name.

        Raises:
            ValueError: if the project has another entry of that name.
        """

        def add(entry: Entry) -> Entry:
            if self._own.setdefault(name, entry) is not entry:
                raise ValueError(f"two {self.kind} entries of the project are called {name}")
            return entry

        return add

    def own(self) -> dict[str, Entry]:
        """Return the project's entries by name, in the order of their modules."""
        if not self._is_imported:
            package = importlib.import_module(self._package)
            for module in pkgutil.iter_modules(getattr(package, "__path__", ())):
                importlib.import_module(f"{self._package}.{module.name}")
            self._is_imported = True
        return dict(self._own)

    def published(self) -> list[str]:
        """Return the names that other distributions publish, sorted."""
        return sorted(_published(self.group))

    def names(self) -> list[str]:
        """Return the names of all entries, sorted. No published entry is imported."""
        return sorted({*self.own(), *self.published()})

    def source(self, name: str) -> PublishedEntry | None:
        """Return who publishes an entry; None: it is the project's own. The entry is not imported.

        Raises:
            UserError: if there is no such entry, or two distributions have one of that name.
        """
        published = _published(self.group).get(name, ())
        owners = [f"{entry.distribution} {entry.version}" for entry in published]
        if name in self.own() or name in self._reserved:
            owners = ["this project", *owners]
        if len(owners) > 1:
            raise UserError(
                f"the {self.kind} {name} is published by {' and '.join(owners)} (entry points {self.group}): uninstall all "
                "but one, or have one renamed"
            )
        if not owners or name in self._reserved:
            raise UserError(
                f"no {self.kind} {name}; there are {', '.join(self.names())}, and what other installed distributions publish "
                f"as entry points {self.group}{suggestion(name, self.names())}"
            )
        return published[0] if published else None

    def origin(self, name: str) -> str:
        """Return distribution and version of a published entry, or "" for one of the project's own."""
        published = self.source(name)
        return f"{published.distribution} {published.version}" if published else ""

    def __getitem__(self, name: str) -> Entry:
        """Return an entry; one of another distribution is imported.

        Raises:
            UserError: as ``source`` does, or if the entry cannot be imported, or is of another type.
        """
        published = self.source(name)
        if published is None:
            return self._own[name]
        whose = f"the {self.kind} {name} of {published.distribution} {published.version}"
        try:
            with redirect_stdout(sys.stderr):  # what it prints is none of a command's output
                entry: Entry = published.point.load()
        except (Exception, SystemExit) as error:
            raise UserError(
                f"{whose} cannot be imported from {published.point.value}: {type(error).__name__}: {error}. Mend or "
                "uninstall that distribution"
            ) from error
        if self._base is not None and not (isinstance(entry, type) and issubclass(entry, self._base)):
            raise UserError(
                f"{whose} is {entry!r}: it should be a class derived from {self._base.__module__}.{self._base.__qualname__}"
            )
        return entry


def registry_of(kind: str) -> Registry[Any]:
    """Return the registry of a kind, a key of ``REGISTRIES``."""
    registry: Registry[Any] = pkgutil.resolve_name(REGISTRIES[kind])
    return registry


@cache
def _published(group: str) -> dict[str, tuple[PublishedEntry, ...]]:
    """What the installed distributions publish in a group, by name. One of each name, or they collide."""
    found: dict[str, tuple[PublishedEntry, ...]] = {}
    for point in entry_points(group=group):
        name, version = (point.dist.name, point.dist.version) if point.dist else ("an unnamed distribution", "")
        found[point.name] = (*found.get(point.name, ()), PublishedEntry(name, version, point))
    return found

"""A registry: entries of one kind by name.

A built-in registers itself in its own file, which is found by scanning its package. Another distribution publishes an
entry by an entry point of the group ``scenario_sweep.<kind>``. Names come from the metadata; an entry is imported only
when it is used.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from functools import cached_property
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, TypeVar

from trainables.errors import UserError, suggestion

Entry = TypeVar("Entry")


class Registry(Generic[Entry]):
    """Entries of one kind by name.

    Attributes:
        kind: plural, as in the name of the entry-point group.
        package: whose modules register the built-ins.
    """

    def __init__(self, kind: str, package: str) -> None:
        """Make an empty registry; built-ins are imported on first use.

        Args:
            kind: such as ``tables``.
            package: full name of the package to scan for built-ins.
        """
        self.kind = kind
        self.package = package
        self._entries: dict[str, Entry] = {}
        self._scanned = False

    def register(self, name: str) -> Callable[[Entry], Entry]:
        """Return a decorator that registers a built-in.

        Raises:
            ValueError: if the name is taken.
        """

        def add(entry: Entry) -> Entry:
            if name in self._entries:
                raise ValueError(f"{self.kind}: {name} is registered twice")
            self._entries[name] = entry
            return entry

        return add

    def names(self) -> list[str]:
        """Return the sorted names of built-ins and entry points; the latter are not imported.

        Raises:
            UserError: if an entry point has a name that is taken.
        """
        return sorted([*self._built_in(), *self._foreign])

    def get(self, name: str) -> Entry:
        """Return an entry.

        Raises:
            UserError: if there is no such entry, or it cannot be imported.
        """
        built_in = self._built_in()
        if name in built_in:
            return built_in[name]
        if name not in self._foreign:
            names = self.names()
            raise UserError(f"{self.kind}: no {name}{suggestion(name, names) or '.'} There are {', '.join(names)}")
        try:
            entry: Entry = self._foreign[name].load()
        except Exception as error:  # importing foreign code may raise anything
            raise UserError(
                f"{self.kind}: {name} of {self.origin(name)} cannot be imported from {self._foreign[name].value}: "
                f"{type(error).__name__}: {error}. Repair or uninstall that distribution"
            ) from error
        return entry

    def origin(self, name: str) -> str:
        """Return distribution and version of an entry point, or "" for a built-in."""
        return _origin(self._foreign[name]) if name in self._foreign else ""

    def _built_in(self) -> dict[str, Entry]:
        if not self._scanned:
            self._scanned = True
            for module in pkgutil.iter_modules(import_module(self.package).__path__, f"{self.package}."):
                import_module(module.name)
        return self._entries

    @cached_property
    def _foreign(self) -> dict[str, EntryPoint]:
        group, found = f"scenario_sweep.{self.kind}", dict[str, EntryPoint]()
        for point in entry_points(group=group):
            taken = "a built-in" if point.name in self._built_in() else None
            taken = _origin(found[point.name]) if point.name in found else taken
            if taken is not None:
                raise UserError(
                    f"{self.kind}: the name {point.name} of {_origin(point)} (entry-point group {group}) is already that of "
                    f"{taken}. Uninstall one of the two"
                )
            found[point.name] = point
        return found


def _origin(point: EntryPoint) -> str:
    return "an unknown distribution" if point.dist is None else f"{point.dist.name} {point.dist.version}"

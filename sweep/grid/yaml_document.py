"""YAML documents that remember on which line each value stands."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import yaml

from trainables.errors import UserError

Path = tuple[str | int, ...]


@dataclass
class Document:
    """A parsed YAML document.

    Attributes:
        name: what to call it in a message: the file, usually.
        value: the content, plain dicts and lists.
        lines: line (from 1) of every value, by its path of keys and indices.
        settings: what the command line laid over it, by path.
    """

    name: str
    value: dict[str, Any]
    lines: dict[Path, int] = field(default_factory=dict)
    settings: dict[Path, str] = field(default_factory=dict)

    def where(self, path: Path) -> str:
        """Return ``file:line`` of a value, or of the nearest thing above it that has a line; or the setting that gave it."""
        while path and path not in self.lines and path not in self.settings:
            path = path[:-1]
        return self.settings.get(path) or f"{self.name}:{self.lines.get(path, 1)}"

    def put(self, dotted: str, text: str, at: tuple[str, ...] | None = None) -> None:
        """Set a value, given as ``section.key`` and YAML text, as a ``--set`` on the command line does.

        Args:
            dotted: names of sections and key.
            text: the value.
            at: its path, where that is not what the dots say.

        Raises:
            UserError: if the text is no YAML, or the path leads through something that is no section.
        """
        try:
            value = yaml.safe_load(text)
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise UserError(f"--set {dotted}={text}: the value is no YAML: {_first_line(error)}") from error
        *path, last = at or dotted.split(".")
        place: Any = self.value
        for part in path:
            place = place.setdefault(part, {}) if isinstance(place, dict) else None
        if not isinstance(place, dict):
            raise UserError(f"--set {dotted}: {'.'.join(path)} is no section of {self.name}")
        place[last] = value
        here = (*path, last)
        self.lines = {path: line for path, line in self.lines.items() if path[: len(here)] != here}
        self.settings = {path: setting for path, setting in self.settings.items() if path[: len(here)] != here}
        for depth in range(1, len(here) + 1):  # the sections above it as well, where the setting made them
            if here[:depth] not in self.lines:
                self.settings.setdefault(here[:depth], f"--set {dotted}={text}")


def parse(text: str, name: str) -> Document:
    """Parse YAML text, safely.

    Raises:
        UserError: if it is no YAML, no mapping, or says a key twice.
    """
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        value = yaml.safe_load(text)
        document = Document(name, value)
        faults: list[str] = []
        _note_lines(root, (), document, faults)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: an impossible date, for one
        raise UserError(_no_yaml(name, error)) from error
    if not isinstance(value, dict):
        raise UserError(f"{name} is empty or no mapping of keys to values")
    if faults:
        raise UserError(faults)
    return document


def _note_lines(node: yaml.Node | None, path: Path, document: Document, faults: list[str]) -> None:
    if node is None:
        return
    document.lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if key.value in seen:
                faults.append(f"{document.name}:{key.start_mark.line + 1}: {key.value} is given twice")
            seen.add(key.value)
            document.lines[(*path, key.value)] = key.start_mark.line + 1
            _note_lines(value, (*path, key.value), document, faults)
    elif isinstance(node, yaml.SequenceNode):
        for i, value in enumerate(node.value):
            _note_lines(value, (*path, i), document, faults)


def _no_yaml(name: str, error: Exception) -> str:
    if isinstance(error, RecursionError):
        return f"{name} is no YAML to read: a part of it contains itself, or is nested too deep"
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        what = ", ".join(filter(None, (error.context, error.problem)))
        return f"{name}:{error.problem_mark.line + 1}: this is no YAML: {what}"
    return f"{name} is no YAML: {_first_line(error)}"


def _first_line(error: Exception) -> str:
    return " ".join(str(error).split())

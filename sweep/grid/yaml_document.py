"""YAML documents that know the line of every value, and settings of the command line laid over them.

PyYAML composes a tree of nodes with their lines, and its safe constructor makes the values from the same tree.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import yaml

from trainables.errors import UserError

Path = tuple[str | int, ...]
"""Keys and indices that lead from the root of a document to a value."""

MAX_CHARACTERS = 500_000
"""Length of a document. PyYAML parses 50,000 to 300,000 characters a second, and the largest grids have some 10^5."""
MAX_VALUES = 500_000
"""Values of a document, each alias counted with all that it stands for."""
MAX_DEPTH = 100
"""Levels of nesting: far more than any grid has, and few enough for every later recursion over the value."""


@dataclass
class Document:
    """A parsed YAML document.

    Attributes:
        name: what messages call it, usually the path of the file.
        value: the content: plain dicts, lists and scalars.
        root: the node tree that it was made from, which holds the lines.
        settings: path of each value that the command line set -> the option as it was given.
    """

    name: str
    value: dict[str, Any]
    root: yaml.Node
    settings: dict[Path, str] = field(default_factory=dict)

    def where(self, path: Path) -> str:
        """Return ``file:line`` of a value, or the ``--set`` option that gave it.

        Of a value that is absent, the place of the nearest value above it.
        """
        for depth in range(len(path), 0, -1):
            if path[:depth] in self.settings:
                return self.settings[path[:depth]]
        return f"{self.name}:{_line(self.root, path)}"

    def put(self, dotted: str, text: str, at: tuple[str, ...] | None = None) -> None:
        """Set a value as ``--set section.key=value`` does. Sections that are absent are made.

        Args:
            dotted: section and key, joined by dots.
            text: the value as YAML.
            at: path of the value, where it is not ``dotted`` split at its dots.

        Raises:
            UserError: if the text is not valid YAML, or the path leads through a value that is not a section.
        """
        try:
            value = _load(text)[1]
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise UserError(f"--set {dotted}={text}: the value cannot be read as YAML: {_first_line(error)}") from error
        *sections, key = here = at or tuple(dotted.split("."))
        self.settings = {path: option for path, option in self.settings.items() if path[: len(here)] != here}
        place: Any = self.value
        for depth, section in enumerate(sections, 1):
            if isinstance(place, dict) and section not in place:
                place[section] = {}
                self.settings[here[:depth]] = f"--set {dotted}={text}"
            place = place[section] if isinstance(place, dict) else None
        if not isinstance(place, dict):
            raise UserError(f"--set {dotted}: {'.'.join(sections)} is not a section of {self.name}")
        place[key] = value
        self.settings[here] = f"--set {dotted}={text}"


def parse(text: str, name: str) -> Document:
    """Parse YAML text with PyYAML's safe loader.

    Args:
        text: the document.
        name: what messages call it.

    Raises:
        UserError: if the text is not valid YAML, is not a mapping, gives a key twice, or is too large.
    """
    try:
        root, value, repeated = _load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UserError(_invalid(name, error)) from error
    if root is None or not isinstance(value, dict):
        raise UserError(f"{name} is empty, or not a mapping of keys to values")
    if repeated:
        repeated.sort(key=lambda key: key.start_mark.index)
        raise UserError(f"{name}:{key.start_mark.line + 1}: {key.value} is given twice" for key in repeated)
    return Document(name, value, root)


def _load(text: str) -> tuple[yaml.Node | None, Any, list[yaml.Node]]:
    """Return the node tree of a document, its value, and the keys that repeat an earlier key of their mapping.

    Raises:
        yaml.YAMLError, ValueError, RecursionError: if the text is not valid YAML, or is too large.
    """
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"it is longer than {MAX_CHARACTERS:,} characters")
    loader = _BoundedLoader(text)
    root = loader.get_single_node()
    try:
        return root, None if root is None else loader.construct_document(root), loader.repeated
    except (AttributeError, LookupError, TypeError) as error:  # PyYAML does not check the text that a tag is put on
        raise ValueError("a value does not fit its tag (!!int, !!bool, !!timestamp, …)") from error


class _BoundedLoader(yaml.SafeLoader):
    """PyYAML's safe loader that refuses documents whose aliases stand for too much, and notes repeated keys."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.repeated: list[yaml.Node] = []
        self._sizes: dict[int, tuple[int, int]] = {}  # id of a node -> its values and levels, aliases written out

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Compose a node, or return the one that an alias refers to. Called by PyYAML for every node.

        Args:
            parent: the node above.
            index: key or index of the node in it.

        Raises:
            ValueError: if the node contains itself, or is too large.
        """
        is_alias = self.check_event(yaml.AliasEvent)
        node = super().compose_node(parent, index)
        if is_alias and id(node) not in self._sizes:
            raise ValueError("a part of it contains itself")
        if node is not None and not is_alias:
            self._sizes[id(node)] = self._measured(node)
        return node

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """Compose a mapping, and note its repeated keys. Called by PyYAML for every mapping."""
        node = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                self.repeated += [key] if key.value in seen else []
                seen.add(key.value)
        return node

    def _measured(self, node: yaml.Node) -> tuple[int, int]:
        """Return the values and the levels of a node, from those of the nodes below it."""
        items = node.value if isinstance(node, yaml.SequenceNode) else ()
        children = chain.from_iterable(node.value) if isinstance(node, yaml.MappingNode) else items
        below = [self._sizes[id(child)] for child in children]
        values, levels = 1 + sum(size[0] for size in below), 1 + max((size[1] for size in below), default=0)
        if values > MAX_VALUES:
            raise ValueError(f"it holds more than {MAX_VALUES:,} values, its aliases written out")
        if levels > MAX_DEPTH:
            raise ValueError(f"it is nested too deep: in more than {MAX_DEPTH} levels")
        return values, levels


def _line(node: yaml.Node, path: Path) -> int:
    """Return the line (from 1) of a value, or of the nearest value above it that stands in the document."""
    mark = node.start_mark
    for part in path:
        if isinstance(node, yaml.MappingNode):
            found = [entry for entry in node.value if entry[0].value == str(part)]
            found = found or [entry for entry in node.value if _is_key(entry[0], part)]
            if not found:
                break
            key, node = found[-1]  # of merged mappings (<<) the last counts
            mark = key.start_mark
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            mark = node.start_mark
        else:
            break
    return int(mark.line) + 1


def _is_key(node: yaml.Node, part: str | int) -> bool:
    """Whether a key that YAML reads as another type (``yes`` as True) is the one that a path names."""
    return isinstance(node, yaml.ScalarNode) and str(yaml.safe_load(node.value)) == str(part)


def _invalid(name: str, error: Exception) -> str:
    if isinstance(error, RecursionError):
        return f"{name} cannot be read as YAML: it is nested too deep"
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        what = ", ".join(filter(None, (error.context, error.problem)))
        return f"{name}:{error.problem_mark.line + 1}: not valid YAML: {what}"
    return f"{name} cannot be read as YAML: {_first_line(error)}"


def _first_line(error: Exception) -> str:
    return " ".join(str(error).split())

"""Faults of a grid: where each one is, and what is wrong there. Errors of pydantic become faults here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from itertools import takewhile
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import ValidationError

from sweep.grid.schema import GridFile
from sweep.grid.yaml_document import Path
from trainables.data.readers.base import readers
from trainables.errors import suggestion
from trainables.frozen import Frozen

Fault = tuple[Path, str]
"""Path of a value in the document, and a sentence that says what is wrong with it."""

NAMED_ENTRIES = {"data": 2, "scenarios": 2, "architectures": 2, "weights": 3}
"""Sections whose keys are names given by the grid -> depth of an entry. Other parts of the grid refer to these names."""


def schema_faults(error: ValidationError, value: Any, at: Path = (), schema: Any = GridFile) -> Iterator[Fault]:
    """Yield the faults of a value that does not fit its schema.

    Args:
        error: as pydantic raised it.
        value: what was validated.
        at: path of the value in the document.
        schema: the type that it was validated against.
    """
    for details in error.errors():
        loc = details["loc"]
        path = (*at, *_path_in(value, loc))
        name = ".".join(map(str, (*path, loc[-1]) if details["type"] == "missing" else path))
        if details["type"] == "extra_forbidden":
            yield path, f"unknown key {name}{_valid_keys(str(loc[-1]), _keys_beside(schema, loc))}"
        elif details["type"] == "missing":
            yield path, f"{name}: field required"
        elif details["type"] in ("union_tag_invalid", "union_tag_not_found"):
            yield path, f"{name}: {_unknown_reader(details['ctx'].get('tag'))}"
        else:
            said = details["msg"].lower().replace("valid tuple", "list")
            yield path, f"{name}: {said}, found {short(details['input'])}"


def short(value: Any) -> str:
    """Return a value as a message shows it: at most 60 characters."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"


def without(document: Mapping[str, Any], refused: Iterable[Path]) -> GridFile | None:
    """Return a grid without the parts that the schema refused, so that its other faults are found at once.

    Args:
        document: the content of the grid file.
        refused: paths of the faults of its schema.

    Returns:
        The rest of the grid; None if the rest is not a grid, or if names that it may refer to were among the parts.
    """
    rest = deepcopy(dict(document))
    for path in refused:
        keys = [str(part) for part in takewhile(lambda part: isinstance(part, str), path)]
        if len(keys) <= NAMED_ENTRIES.get(keys[0] if keys else "", 0):
            return None
        if keys[:2] == ["axes", "learning_rate"]:  # of a table without one row, others would seem to be missing
            keys = keys[:2]
        section: Any = rest
        for key in keys[:-1]:
            section = section.get(key, {})
        section.pop(keys[-1], None)
    try:
        return GridFile.model_validate(rest)
    except ValidationError:
        return None


def _path_in(value: Any, loc: Iterable[str | int]) -> Path:
    """Return the parts of pydantic's location that exist in a value: the others name members of unions."""
    path: list[Any] = []
    for part in loc:
        if isinstance(value, dict):
            part = next((key for key in value if key == part or str(key) == part), part)  # 1.5 is "1.5" in a location
        in_list = isinstance(value, list) and isinstance(part, int) and part < len(value)
        if in_list or (isinstance(value, dict) and part in value):
            path.append(part)
            value = value[part]
    return tuple(path)


def _unknown_reader(given: str | None) -> str:
    names = readers.names()
    what = "give it a reader" if given is None else f"unknown reader {given}"
    return f"{what}, there are {', '.join(names)}{suggestion(given or '', names)}"


def _keys_beside(schema: Any, loc: tuple[str | int, ...]) -> set[str]:
    """Return the keys that a schema allows in the mapping that holds the key at a location."""
    types = _members(schema)
    for part in loc[:-1]:
        types = [member for kind in types for below in _below(kind, part) for member in _members(below)]
    return {key for kind in types if _is_model(kind) for key in kind.model_fields}


def _valid_keys(given: str, valid: set[str]) -> str:
    """Return what may stand in the place of an unknown key: the nearest, and all."""
    return f"{suggestion(given, sorted(valid))}; valid: {', '.join(sorted(valid))}" if valid else ""


def _members(kind: Any) -> list[Any]:
    """Return the members of a union, without annotations; of another type, the type itself."""
    if get_origin(kind) is Annotated:
        return _members(get_args(kind)[0])
    if get_origin(kind) in (Union, UnionType):
        return [member for part in get_args(kind) for member in _members(part)]
    return [kind]


def _below(kind: Any, part: str | int) -> list[Any]:
    """Return the types that a value of a type may have at a key or index."""
    if _is_model(kind):  # a part that is not a field is pydantic's name for a member of a union
        return [kind.model_fields[part].annotation] if part in kind.model_fields else [kind]
    return list(get_args(kind)[-1:] if get_origin(kind) is dict else get_args(kind)[:1])


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Frozen)

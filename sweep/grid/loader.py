"""Reading a grid: by name or from a file, with settings laid over it, checked in full."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import deepcopy
from importlib import resources
from itertools import takewhile
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import ValidationError

from sweep.grid.axes import SECTIONS
from sweep.grid.grid import Grid
from sweep.grid.schema import Axes, GridFile
from sweep.grid.validation import Fault, faults_of, recipe_faults, short
from sweep.grid.yaml_document import Document, parse
from sweep.grid.yaml_document import Path as Place
from trainables.data.readers.base import readers
from trainables.errors import UserError, suggestion
from trainables.frozen import Frozen


def embedded() -> list[str]:
    """Return the names of the grids that come with the project."""
    return sorted(
        file.name.removesuffix(".yaml")
        for file in (resources.files("sweep.grid") / "presets").iterdir()
        if file.name.endswith(".yaml")
    )


def load_grid(name_or_file: str, settings: Sequence[str] = ()) -> Grid:
    """Read a grid by name or file, with ``section.key=value`` settings laid over it.

    Raises:
        UserError: with every fault found.
    """
    document = parse(*_read(name_or_file))
    for setting in settings:
        dotted, equals, text = setting.partition("=")
        if not (equals and dotted):
            raise UserError(f"--set {setting}: give section.key=value, e.g. --set finetune.epochs=3")
        document.put(dotted, text, _path_of(dotted))
    try:
        file = GridFile.model_validate(document.value)
    except ValidationError as error:
        schema = [_schema_fault(document, fault) for fault in error.errors()]
        beside = _faults_beside(document, [_place_in(document.value, fault["loc"]) for fault in error.errors()])
        raise UserError([*schema, *_said(document, beside)]) from error
    grid = Grid(file, document)
    faults = _said(document, faults_of(grid))
    if faults:
        raise UserError(faults)
    return grid


def _path_of(dotted: str) -> tuple[str, ...] | None:
    """Return the path of a setting that is an axis, by its name; None of what its dots say themselves."""
    if dotted in Axes.model_fields:
        return ("axes", dotted)
    axis = dotted.removeprefix("axes.")
    is_setting = axis != dotted and axis.partition(".")[0] in SECTIONS and "." in axis
    return ("axes", axis) if is_setting else None


def _said(document: Document, faults: Iterable[Fault]) -> list[str]:
    return list(dict.fromkeys(f"{document.where(place)}: {text}" for place, text in faults))


def _faults_beside(document: Document, refused: Iterable[Place]) -> list[Fault]:
    """Return the faults that those of the schema would hide: a grid is checked without what the schema refuses."""
    rest = deepcopy(document.value)
    for place in refused:
        keys = [str(part) for part in takewhile(lambda part: isinstance(part, str), place)]
        if len(keys) <= _NAMED.get(keys[0] if keys else "", 0):  # without it, names of it would seem unknown
            return recipe_faults(document)
        if keys[:2] == ["axes", "learning_rate"]:  # without a part of it other parts would seem to be missing
            keys = keys[:2]
        section: Any = rest
        for key in keys[:-1]:
            section = section.get(key, {})
        section.pop(keys[-1], None)
    try:
        return faults_of(Grid(GridFile.model_validate(rest), document))
    except ValidationError:  # something that no grid can do without
        return recipe_faults(document)


_NAMED = {"data": 2, "scenarios": 2, "architectures": 2, "weights": 3}
"""Sections of names that the grid gives, and the depth of their entries."""


def _read(name_or_file: str) -> tuple[str, str]:
    if name_or_file in embedded():
        file = f"{name_or_file}.yaml"
        return (resources.files("sweep.grid") / "presets" / file).read_text(encoding="utf-8"), file
    try:
        return Path(name_or_file).read_text(encoding="utf-8"), name_or_file
    except UnicodeDecodeError as error:
        raise UserError(f"{name_or_file} is no UTF-8 text: {error}") from error
    except OSError as error:
        hint = suggestion(name_or_file, embedded())
        raise UserError(
            f"no grid {name_or_file}: it is no file ({error}) and none of {', '.join(embedded())}{hint}"
        ) from error


def _schema_fault(document: Document, fault: Any) -> str:
    place = _place_in(document.value, fault["loc"])
    name = ".".join(str(part) for part in place)
    if fault["type"] == "extra_forbidden":
        return f"{document.where(place)}: unknown key {name}{suggestion(str(place[-1]), _names_at(fault['loc']))}"
    if fault["type"] in ("union_tag_invalid", "union_tag_not_found"):
        return f"{document.where(place)}: {name}: {_no_such_kind(fault)}"
    found = "" if fault["type"] == "missing" else f", found {short(fault['input'])}"
    missing = ".".join(filter(None, [name, str(fault["loc"][-1])])) if fault["type"] == "missing" else name
    said = fault["msg"].lower().replace("valid tuple", "list")
    return f"{document.where(place)}: {missing}: {said}{found}"


def _no_such_kind(fault: Any) -> str:
    """Of a data set without a known reader: which readers there are."""
    names = readers.names()
    given = fault["ctx"].get("tag")
    what = "give it a reader" if given is None else f"unknown reader {given}"
    return f"{what}, there are {', '.join(names)}{suggestion(given or '', names)}"


def _place_in(document: Any, loc: Iterable[str | int]) -> Place:
    """Keep of a schema's location what is in the document: it names alternatives of a union as well."""
    value, place = document, list[str | int]()
    for part in loc:
        in_list = isinstance(value, list) and isinstance(part, int) and part < len(value)
        if in_list or (isinstance(value, dict) and part in value):
            place.append(part)
            value = value[part]
    return tuple(place)


def _names_at(loc: Iterable[str | int]) -> set[str]:
    """Return the keys that are valid beside the one at a schema's location."""
    kinds: list[Any] = [GridFile]
    for part in list(loc)[:-1]:
        kinds = [below for kind in _plain(kinds) for below in _below(kind, part)]
    return {name for kind in _plain(kinds) if _is_model(kind) for name in kind.model_fields}


def _plain(kinds: Iterable[Any]) -> list[Any]:
    """Open unions and annotations: what is left are models, containers and plain types."""
    plain: list[Any] = []
    for kind in kinds:
        origin = get_origin(kind)
        if origin is Annotated:
            plain += _plain([get_args(kind)[0]])
        elif origin in (Union, UnionType):
            plain += _plain(get_args(kind))
        else:
            plain.append(kind)
    return plain


def _below(kind: Any, part: str | int) -> list[Any]:
    if _is_model(kind):  # a part that is no field names the alternative of a union: the model itself
        field = kind.model_fields.get(part)
        return [kind] if field is None else [field.annotation]
    return list(get_args(kind)[-1:]) if get_origin(kind) is dict else list(get_args(kind)[:1])


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Frozen)

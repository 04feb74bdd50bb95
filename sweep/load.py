"""Reading a grid: by name or from a file, with settings laid over it, checked in full."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from sweep.checks import faults_of, short
from sweep.documents import Document, parse
from sweep.documents import Path as Place
from sweep.grid import Grid
from sweep.schema import Axes, GridFile
from trainables.errors import UserError, nearest
from trainables.specs import Frozen


def embedded() -> list[str]:
    """Return the names of the grids that come with the project."""
    return sorted(
        file.name.removesuffix(".yaml")
        for file in (resources.files("sweep") / "grids").iterdir()
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
        if not equals:
            raise UserError(f"--set {setting}: give section.key=value, e.g. --set finetune.epochs=3")
        document.put(f"axes.{dotted}" if dotted in Axes.model_fields else dotted, text)
    try:
        file = GridFile.model_validate(document.value)
    except ValidationError as error:
        raise UserError([_schema_fault(document, fault) for fault in error.errors()]) from error
    grid = Grid(file, document)
    faults = [f"{document.where(place)}: {text}" for place, text in faults_of(grid)]
    if faults:
        raise UserError(faults)
    return grid


def _read(name_or_file: str) -> tuple[str, str]:
    if name_or_file in embedded():
        return (resources.files("sweep") / "grids" / f"{name_or_file}.yaml").read_text(), f"{name_or_file}.yaml"
    try:
        return Path(name_or_file).read_text(), name_or_file
    except (OSError, UnicodeDecodeError) as error:
        hint = nearest(name_or_file, embedded())
        raise UserError(
            f"no grid {name_or_file}: it is no file ({error}) and none of {', '.join(embedded())}{hint}"
        ) from error


def _schema_fault(document: Document, fault: Any) -> str:
    place = _place_in(document.value, fault["loc"])
    name = ".".join(str(part) for part in place) or "the grid"
    if fault["type"] == "extra_forbidden":
        return f"{document.where(place)}: unknown key {name}{nearest(str(place[-1]), _field_names())}"
    found = "" if fault["type"] == "missing" else f", found {short(fault['input'])}"
    missing = f"{name}.{fault['loc'][-1]}" if fault["type"] == "missing" else name
    return f"{document.where(place)}: {missing}: {fault['msg'].lower()}{found}"


def _place_in(document: Any, loc: Iterable[str | int]) -> Place:
    """Keep of a schema's location what is in the document: it names alternatives of a union as well."""
    value, place = document, list[str | int]()
    for part in loc:
        in_list = isinstance(value, list) and isinstance(part, int) and part < len(value)
        if in_list or (isinstance(value, dict) and part in value):
            place.append(part)
            value = value[part]
    return tuple(place)


def _field_names() -> set[str]:
    models: list[type[Frozen]] = [Frozen]
    for model in models:
        models += model.__subclasses__()
    return {name for model in models for name in model.model_fields}

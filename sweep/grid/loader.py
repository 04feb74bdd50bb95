"""Loading a grid: text, document, settings laid over it, schema, and every check; all faults are raised together."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from pydantic import ValidationError

from sweep.grid.axes import SECTIONS
from sweep.grid.editions import LATEST, fill_defaults, is_edition
from sweep.grid.faults import schema_faults, without
from sweep.grid.grid import Grid
from sweep.grid.schema import Axes, GridFile
from sweep.grid.setting_checks import recipe_faults
from sweep.grid.validation import validate
from sweep.grid.yaml_document import MAX_CHARACTERS, Document, parse
from trainables.errors import UserError, suggestion

PRESETS = resources.files("sweep.grid") / "presets"


def embedded() -> list[str]:
    """Return the names of the grids that come with the project."""
    return sorted(file.name.removesuffix(".yaml") for file in PRESETS.iterdir() if file.name.endswith(".yaml"))


def load_grid(name_or_file: str, settings: Sequence[str] = (), edition: int | None = None) -> Grid:
    """Load and check a grid.

    Args:
        name_or_file: name of an embedded grid, or path of a YAML file.
        settings: ``section.key=value`` options that change it; of two for the same key the later counts.
        edition: of the defaults, where the grid names none; None: the latest.

    Raises:
        UserError: with every fault found, each with file and line or with the setting that gave the value.
    """
    return check_grid(read_grid(name_or_file, settings), edition)


def read_grid(name_or_file: str, settings: Sequence[str] = ()) -> Document:
    """Read a grid as it is written, with the settings laid over it.

    Args:
        name_or_file: name of an embedded grid, or path of a YAML file.
        settings: ``section.key=value`` options that change it; of two for the same key the later counts.

    Raises:
        UserError: if there is no such grid, it is no YAML, or a setting does not fit it.
    """
    document = parse(*_read(name_or_file))
    for setting in settings:
        _lay_over(document, setting)
    return document


def check_grid(document: Document, edition: int | None = None) -> Grid:
    """Fill in the defaults of an edition, and check the whole grid.

    Args:
        document: the grid as it is written. The defaults are added to it.
        edition: of the defaults, where the grid names none; None: the latest.

    Raises:
        UserError: with every fault found, each with file and line or with the setting that gave the value.
    """
    given = document.value.get("edition")
    if given is None:
        fill_defaults(document.value, edition or LATEST)
    elif is_edition(given):
        fill_defaults(document.value, given)
    faults = []
    file: GridFile | None
    try:
        file = GridFile.model_validate(document.value)
    except ValidationError as error:
        faults = list(schema_faults(error, document.value))
        file = without(document.value, [path for path, _ in faults])
    faults += recipe_faults(document.value) if file is None else validate(Grid(file, document))
    if faults or file is None:
        raise UserError(dict.fromkeys(f"{document.where(path)}: {text}" for path, text in faults))
    return Grid(file, document)


def _read(name_or_file: str) -> tuple[str, str]:
    """Return the text of a grid, and the name of its file."""
    if name_or_file in embedded():
        file = f"{name_or_file}.yaml"
        return (PRESETS / file).read_text(encoding="utf-8"), file
    try:
        with Path(name_or_file).open(encoding="utf-8") as stream:
            return stream.read(MAX_CHARACTERS + 1), name_or_file
    except UnicodeDecodeError as error:
        raise UserError(f"{name_or_file} is not UTF-8 text: {error}") from error
    except OSError as error:
        hint = suggestion(name_or_file, embedded())
        raise UserError(
            f"no grid {name_or_file}: it is not a file ({error}) and not one of {', '.join(embedded())}{hint}"
        ) from error


def _lay_over(document: Document, setting: str) -> None:
    """Set a value of a document. The name of an axis needs no ``axes.`` before it."""
    dotted, equals, text = setting.partition("=")
    if not (equals and dotted):
        raise UserError(f"--set {setting}: give section.key=value, e.g. --set finetune.epochs=3")
    axis = dotted.removeprefix("axes.")
    is_setting = axis != dotted and axis.partition(".")[0] in SECTIONS and "." in axis
    document.put(dotted, text, ("axes", axis) if is_setting or dotted in Axes.model_fields else None)

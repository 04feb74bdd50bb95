"""``python -m trainables.data prepare NAME --spec YAML``: prepare a data set ahead of a run, and see what it holds."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from trainables.data.packing.prepare import Progress, prepare
from trainables.data.readers.base import readers
from trainables.data.readers.data_spec import DataSpec
from trainables.data.readers.reading_defaults import FIRST, LATEST, fill_reading_defaults
from trainables.data.splits.splits import SplitSpec, cross_validation
from trainables.data.summary import data_summary, split_summary
from trainables.errors import UserError, suggestion
from trainables.streams import harmless, steady_streams

EPILOG = """A run finds what is prepared here if it is given the same --data and a --storage whose .cache/data is this
--cache. exit status: 0 prepared · 2 bad input · 130 interrupted: the same command goes on"""
BAD_INPUT, INTERRUPTED = 2, 130


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    p = argparse.ArgumentParser(prog="python -m trainables.data")
    commands = p.add_subparsers(dest="command", required=True)
    one = commands.add_parser("prepare", help="decode a data set once, and say what it holds", epilog=EPILOG)
    one.add_argument("name", help="what the grid calls the data set")
    one.add_argument(
        "--spec",
        required=True,
        metavar="YAML",
        help="what the grid writes under data: NAME:, e.g. '{reader: image_folder, path: cells, size: 224}'",
    )
    one.add_argument("--data", default="data", metavar="DIR", help="folder of the data sets (default: data/)")
    one.add_argument(
        "--cache",
        default="studies/.cache/data",
        metavar="DIR",
        help="where prepared data lie (default: that of a run with its default --storage, studies/.cache/data)",
    )
    one.add_argument(
        "--edition",
        type=int,
        choices=(FIRST, LATEST),
        default=LATEST,
        help="of the reading rules where the spec is silent: that of the study which uses the data (default: %(default)s)",
    )
    one.add_argument("--split", metavar="YAML", help="also divide it as a target, e.g. '{folds: 5, val_fraction: 0.2}'")
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    arguments = parser().parse_args(argv)
    try:
        for line in _prepare(arguments):
            sys.stdout.write(harmless(line) + "\n")
    except UserError as error:
        for fault in error.faults:
            sys.stderr.write(f"error: {harmless(fault)}\n")
        return BAD_INPUT
    except KeyboardInterrupt:
        sys.stderr.write("interrupted. What is decoded is kept: the same command goes on\n")
        return INTERRUPTED
    return 0


def _prepare(arguments: argparse.Namespace) -> Iterator[str]:
    spec = _read("--spec", arguments.spec, TypeAdapter(DataSpec), arguments.edition)
    split = _read("--split", arguments.split, TypeAdapter(SplitSpec), FIRST) if arguments.split is not None else None
    with _bar() as progress:
        data = prepare(arguments.name, spec, Path(arguments.data), Path(arguments.cache), progress)
    for line in data.repaired:
        sys.stderr.write(f"was damaged, and is prepared again: {line}\n")
    yield from data_summary(arguments.name, data)
    if split is not None:
        yield from split_summary(cross_validation(arguments.name, data, split))


def _read(option: str, text: str, kind: TypeAdapter[Any], edition: int) -> Any:
    """Read an option's YAML, with the reading rules of an edition where it is silent. Raises UserError with every fault."""
    try:
        content = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UserError(f"{option} is no YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise UserError(f"{option} should be a mapping such as {{reader: image_folder, path: cells}}, found {text!r}")
    fill_reading_defaults(content, edition)
    try:
        return kind.validate_python(content)
    except ValidationError as error:
        raise UserError([_fault(option, fault) for fault in error.errors()]) from error


def _fault(option: str, fault: Any) -> str:
    place = ".".join(map(str, fault["loc"][-1:]))
    if fault["type"] == "union_tag_not_found":
        return f"{option} names no reader. Give reader: {', '.join(readers.names())}"
    if fault["type"] == "union_tag_invalid":
        tag = fault["ctx"]["tag"]
        return (
            f"{option}: unknown reader {tag}{suggestion(tag, readers.names())}. There are {', '.join(readers.names())}"
        )
    if fault["type"] == "extra_forbidden":
        kind = readers.own().get(fault["loc"][0], SplitSpec)
        return f"{option}: unknown key {place}{suggestion(place, kind.model_fields, 1)}"
    if fault["type"] == "options":  # of a published reader: the message names the place
        return f"{option}: {fault['msg']}"
    return f"{option}: {place + ': ' if fault['loc'] else ''}{fault['msg']}"


@contextmanager
def _bar() -> Iterator[Progress]:
    """Show a bar where there is a terminal to show it on."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    console = Console(stderr=True)
    columns = (TextColumn("preparing {task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bar(*columns, console=console, transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("", total=None)
        yield lambda name, done, total: bar.update(task, description=name, completed=done, total=total)


if __name__ == "__main__":
    steady_streams()
    sys.exit(main())

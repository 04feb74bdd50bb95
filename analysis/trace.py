"""Trace a value of the table of scores to stages, commands, data and versions: ``python -m analysis.trace``."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from analysis import cli
from trainables.errors import UserError, suggestion
from trainables.hashing import short_key
from trainables.store import layout
from trainables.streams import steady_streams

if TYPE_CHECKING:
    from analysis.results.collect import Collected
    from analysis.results.plan_file import PlannedStage
    from analysis.results.verify import Cell
    from analysis.stats.class_averages import RowScores
    from trainables.store.study import Study

PARTS = {
    "mean": "mean over the classes of the mean over the runs",
    "std": "mean over the classes of the standard deviation (ddof = 1) over the runs",
}
MACRO_STD = "standard deviation (ddof = 1) over the runs of the macro score"


@dataclass(frozen=True)
class TraceCommand:
    """Options of the command.

    Attributes:
        study: folder or URI.
        row: ``ARCHITECTURE,SCENARIO``.
        column: of ``scores.csv``.
        json: whether to print JSON instead of YAML.
    """

    study: str
    row: str
    column: str
    json: bool


def trace(study: Study, row: str, column: str) -> dict[str, Any]:
    """Return what a value of ``report/tables/scores.csv`` was computed from, as plain values.

    Args:
        study: finished or not.
        row: ``ARCHITECTURE,SCENARIO``.
        column: such as ``f1_mean``.

    Raises:
        UserError: if there is no such row or column, or no run of the row counts.
    """
    from analysis.inference.trained_model import cells_of_row
    from analysis.results.collect import collect
    from analysis.stats.report_data import ReportData
    from analysis.tables.scores import scores_table
    from analysis.tables.study_rows import missing_runs

    collected = collect(study)
    cells = cells_of_row(collected, row)
    data = ReportData(collected)
    table = scores_table(data)
    measure, part = _measure(column, table.keys)
    place = collected.plan.rows.index(cells[0].planned.row)
    missing = [note.text for note in missing_runs(data.rows) if note.mark in table.rows[place].marks]
    return {
        "figure": {
            "row": ", ".join(collected.plan.rows[place]),
            "column": column,
            "value": table.rows[place].values[column],
            "is": MACRO_STD if part == "macro_std" else f"{PARTS[part]}, of {measure}",
            "runs": len(cells),
            "missing": missing,
            "chosen_on": cells[0].result.selected_on,
        },
        "runs": [_run(study, collected, data.rows[place], number, measure) for number in range(len(cells))],
        "data": {
            "target": collected.plan.target,
            "fingerprint": collected.header.fingerprint,
            "split": study.storage.path(layout.split_file(collected.header.split)),
            "classes": list(collected.plan.classes),
        },
        "commands": {
            "table": shlex.join(["python", "-m", "analysis.report", study.storage.path()]),
            "study": shlex.join(_command(study)),
            "also": "--data and --weights as in the run, where the grid needs them",
        },
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status: 0, or 2 on bad input."""
    return cli.run(_parser(), TraceCommand, _trace, arguments)


def _trace(options: TraceCommand) -> None:
    import yaml

    from trainables.store.study import Study

    found = trace(Study.open(options.study), options.row, options.column)
    if options.json:
        cli.show(json.dumps(found, indent=1, ensure_ascii=False))
    else:
        cli.show(yaml.safe_dump(found, sort_keys=False, allow_unicode=True, width=10_000).rstrip())


def _measure(column: str, keys: Sequence[str]) -> tuple[str, str]:
    figures = [key for key in keys if key.endswith(("_mean", "_std"))]
    if column not in figures:
        raise UserError(
            f"--column {column}: no such figure{suggestion(column, figures) or '.'} There are {', '.join(figures)}"
        )
    measure, _, part = column.partition("_")
    return measure, part


def _run(study: Study, collected: Collected, row: RowScores, number: int, measure: str) -> dict[str, Any]:
    """Return one run of a row: its stage, the candidates it was chosen from, and all inputs."""
    cell = row.cells[number]
    choice = next(choice for choice in collected.choices if choice.chosen == cell.candidate)
    return {
        "fold": cell.candidate.fold,
        "seed": cell.candidate.seed,
        f"{measure}_macro": float(row.by_run(measure)[number].mean()),
        "stage": cell.folder.path(),
        "key": cell.result.key,
        "learning_rate": cell.result.learning_rate,
        "chosen_from": {
            f"{one.learning_rate:g}": {"val_f1_macro": one.val_f1_macro, "key": one.key} for one in choice.candidates
        },
        "test_images": int(cell.confusion["test"].sum()),
        "digests": dict(cell.result.digests),
        "initial_weights": cell.stage.initial.model_dump(mode="json"),
        "upstream": list(_upstream(collected, cell.planned)),
        "environment": _environment(cell),
        "command": shlex.join([*_command(study), "--cell", short_key(cell.result.key)]),
    }


def _upstream(collected: Collected, stage: PlannedStage) -> Iterator[dict[str, Any]]:
    """Yield the upstream stages of a stage, the nearest first."""
    for found in collected.progress.upstream(stage):
        folder = collected.progress.folder(found.key)
        document = (folder.stage() if folder is not None and folder.result() is not None else None) or {}
        result = (folder.result() if folder is not None else None) or {}
        yield {
            "kind": found.kind,
            "stage": found.name if folder is None else folder.path(),
            "key": found.key,
            "learning_rate": result.get("learning_rate", found.learning_rate),
            "data": {name: (document.get("data") or {}).get(name) for name in ("name", "fingerprint")},
            "split": document.get("split"),
            "initial_weights": document.get("initial"),
            "digests": result.get("digests", {}),
        }
        yield from _upstream(collected, found)


def _environment(cell: Cell) -> dict[str, Any]:
    return {name: value for name, value in cell.result.environment.items() if name != "process"}


def _command(study: Study) -> list[str]:
    """Return the command that runs the study again; finished stages are not repeated."""
    folder, _, name = study.storage.path().rstrip("/").rpartition("/")
    grid = study.storage.path(layout.GRID)
    return ["python", "-m", "sweep.run", "--grid", grid, "--study", name, "--storage", folder]


def _parser() -> argparse.ArgumentParser:
    parser = cli.parser(
        "trace", "Show the stages, commands, data and versions behind one figure of the table of scores."
    )
    cli.add_study(parser)
    parser.add_argument("--row", required=True, metavar="ARCH,SCENARIO", help="a row of the table")
    parser.add_argument("--column", default="f1_mean", help="a figure of the row, as in scores.csv (f1_mean)")
    parser.add_argument("--json", action="store_true", help="JSON instead of YAML")
    return parser


if __name__ == "__main__":
    steady_streams()
    sys.exit(main())

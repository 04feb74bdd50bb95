"""What is behind one figure of the table: stages, commands, data and versions. ``python -m analysis.trace``.

Modules that need numpy or pyarrow are imported where they are used, so that ``--help`` is at once there.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from analysis import cli, terminal
from trainables.errors import UserError, suggestion
from trainables.hashing import short_key
from trainables.store import layout

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


def trace(study: Study, row: str, column: str) -> dict[str, Any]:
    """Return what is behind a figure of ``report/tables/scores.csv``, as plain values.

    Args:
        study: finished or not.
        row: ``ARCHITECTURE,SCENARIO``.
        column: such as ``f1_mean``.

    Raises:
        UserError: if there is no such row or column, or no run of the row counts.
    """
    from analysis.inference.trained_model import cells_of_row
    from analysis.results.collect import collect
    from analysis.stats.class_averages import row_scores
    from analysis.tables.scores import scores_table

    collected = collect(study)
    cells = cells_of_row(collected, row)
    rows = row_scores(collected)
    table = scores_table(collected, rows)
    measure, part = _measure(column, table.keys)
    place = collected.plan.rows.index((cells[0].planned.architecture, cells[0].planned.scenario))
    marked = [note.text for note in table.footnotes if note.mark in table.rows[place].marks]
    return {
        "figure": {
            "row": ", ".join(collected.plan.rows[place]),
            "column": column,
            "value": table.rows[place].values[column],
            "is": MACRO_STD if part == "macro_std" else f"{PARTS[part]}, of {measure}",
            "runs": len(cells),
            "missing": marked,
            "chosen_on": cells[0].result.selected_on,
        },
        "runs": [_run(study, collected, rows[place], number, measure) for number in range(len(cells))],
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
    """Run the command; return its exit status: 0, or 2 where the user must mend something."""
    return cli.run(_parser(), _work, arguments)


def _work(asked: argparse.Namespace) -> None:
    import yaml

    from trainables.store.study import Study

    found = trace(Study.open(asked.study), asked.row, asked.column)
    if asked.json:
        terminal.show(json.dumps(found, indent=1, ensure_ascii=False))
    else:
        terminal.show(yaml.safe_dump(found, sort_keys=False, allow_unicode=True, width=10_000).rstrip())


def _measure(column: str, keys: Sequence[str]) -> tuple[str, str]:
    figures = [key for key in keys if key.endswith(("_mean", "_std"))]
    if column not in figures:
        raise UserError(
            f"--column {column}: no such figure{suggestion(column, figures) or '.'} There are {', '.join(figures)}"
        )
    measure, _, part = column.partition("_")
    return measure, part


def _run(study: Study, collected: Collected, row: RowScores, number: int, measure: str) -> dict[str, Any]:
    """Return one run of the row: its stage, why it was chosen, and all it rests on."""
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
    """Yield the stages that a stage rests on, the nearest first."""
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
    """Return the command that runs the study again: what is finished stays finished."""
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
    sys.exit(main())

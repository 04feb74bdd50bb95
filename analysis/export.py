"""A trained model to take away: weights, what loads them, and a card with its scores. ``python -m analysis.export``.

Modules that need torch are imported where they are used, so that ``--help`` is at once there.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from analysis import cli, terminal
from trainables.errors import UserError

if TYPE_CHECKING:
    from analysis.inference.trained_model import TrainedModel
    from trainables.store.study import Study

CARD, CONFIG, MODEL = "README.md", "config.json", "model.safetensors"


def export(study: Study, trained: TrainedModel, out: Path) -> None:
    """Write weights, config and card of a trained stage into a new folder.

    Raises:
        UserError: if the folder is not empty, or the weights are not what the stage wrote.
        OSError: if it cannot be written.
    """
    from analysis.inference.model_card import card, config

    if out.exists() and (out.is_file() or any(out.iterdir())):
        raise UserError(f"{out} is there already. Give another --out, or take it away")
    weights = trained.weights()
    out.mkdir(parents=True, exist_ok=True)
    described = config(trained)
    (out / MODEL).write_bytes(weights)
    (out / CONFIG).write_text(json.dumps(described, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (out / CARD).write_text(card(study, trained, described), encoding="utf-8")


def best_of_row(study: Study, row: str) -> TrainedModel:
    """Return the run of a row with the highest val score: not the highest test score.

    Raises:
        UserError: if there is no such row, no run of it counts, or weights were not kept.
    """
    from analysis.inference.trained_model import cells_of_row, open_trained
    from analysis.results.collect import collect

    cells = cells_of_row(collect(study), row)
    best = max(cells, key=lambda cell: (cell.candidate.val_f1_macro, -cell.candidate.fold))
    return open_trained(best.folder)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status: 0, or 2 where the user must mend something."""
    return cli.run(_parser(), _work, arguments)


def _work(asked: argparse.Namespace) -> None:
    from analysis.inference.trained_model import of_stage
    from trainables.store.study import Study

    study = Study.open(asked.study)
    trained = of_stage(study, asked.stage) if asked.stage is not None else best_of_row(study, asked.row)
    export(study, trained, Path(asked.out))
    if asked.row is not None:
        terminal.show(f"of this row the run with the highest val F1: {trained.folder.name}")
    terminal.show(f"{MODEL}, {CONFIG} and {CARD}, which says how to load it: {asked.out}")


def _parser() -> argparse.ArgumentParser:
    parser = cli.parser(
        "export", "Take a trained model away: weights, what timm or torchvision needs, and a model card."
    )
    cli.add_study(parser)
    cli.add_stage_or_row(parser, "a row of the table: its run with the highest val score")
    parser.add_argument("--out", required=True, metavar="DIR", help="a new or empty folder")
    return parser


if __name__ == "__main__":
    sys.exit(main())

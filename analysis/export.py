"""Export a trained model: weights, a config to load them with, and a model card. ``python -m analysis.export``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from analysis import cli
from trainables.errors import UserError
from trainables.streams import steady_streams

if TYPE_CHECKING:
    from analysis.inference.trained_model import TrainedModel
    from trainables.store.study import Study

CARD, CONFIG, MODEL = "README.md", "config.json", "model.safetensors"


@dataclass(frozen=True)
class ExportCommand:
    """Options of the command.

    Attributes:
        study: folder or URI.
        out: folder to write to.
        stage: key or name; None if a row is given.
        row: ``ARCHITECTURE,SCENARIO``; None if a stage is given.
        allow_code: whether the study may choose code.
    """

    study: str
    out: Path
    stage: str | None
    row: str | None
    allow_code: bool


def export(study: Study, trained: TrainedModel, out: Path) -> None:
    """Write weights, config and model card of a trained stage.

    Args:
        study: the study.
        trained: its network.
        out: a new or empty folder.

    Raises:
        UserError: if the folder is not empty, or the weights are missing or changed.
        OSError: if it cannot be written.
    """
    from analysis.inference.model_card import card, config

    if out.exists() and (out.is_file() or any(out.iterdir())):
        raise UserError(f"{out} is there already. Give another --out, or take it away")
    described, weights = config(trained), trained.weights()
    out.mkdir(parents=True, exist_ok=True)
    (out / MODEL).write_bytes(weights)
    (out / CONFIG).write_text(json.dumps(described, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (out / CARD).write_text(card(study, trained, described["library"]), encoding="utf-8")


def best_of_row(study: Study, row: str, allow_code: bool = False) -> TrainedModel:
    """Return the network of a row's run with the highest val score. Test scores do not count.

    Args:
        study: the study.
        row: ``ARCHITECTURE,SCENARIO``.
        allow_code: whether the study may choose code.

    Raises:
        UserError: if there is no such row, no run of it counts, or its weights were not kept.
    """
    from analysis.inference.trained_model import cells_of_row, open_trained
    from analysis.results.collect import collect

    cells = cells_of_row(collect(study), row)
    best = max(cells, key=lambda cell: (cell.candidate.val_f1_macro, -cell.candidate.fold))
    return open_trained(best.folder, allow_code)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status: 0, or 2 on bad input."""
    return cli.run(_parser(), ExportCommand, _export, arguments)


def _export(options: ExportCommand) -> None:
    from analysis.inference.trained_model import find_trained
    from trainables.store.study import Study

    study = Study.open(options.study)
    if options.stage is not None:
        trained = find_trained(study, options.stage, options.allow_code)
    else:
        trained = best_of_row(study, str(options.row), options.allow_code)
    export(study, trained, options.out)
    if options.row is not None:
        cli.show(f"of this row the run with the highest val F1: {trained.folder.name}")
    cli.show(f"{MODEL}, {CONFIG} and {CARD}, which says how to load it: {options.out}")


def _parser() -> argparse.ArgumentParser:
    parser = cli.parser(
        "export", "Take a trained model away: weights, what timm or torchvision needs, and a model card."
    )
    cli.add_study(parser)
    cli.add_stage_or_row(parser, "a row of the table: its run with the highest val score")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="a new or empty folder")
    cli.add_allow_code(parser)
    return parser


if __name__ == "__main__":
    steady_streams()
    sys.exit(main())

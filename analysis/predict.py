"""Predict a folder of images with a trained stage, or with a row's folds together: ``python -m analysis.predict``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis import cli
from trainables.errors import UserError
from trainables.streams import steady_streams

if TYPE_CHECKING:
    import pyarrow as pa

    from analysis.inference.ensemble import EnsemblePrediction
    from analysis.inference.image_folder import FolderImages, Mapped
    from analysis.inference.trained_model import TrainedModel
    from trainables.store.study import Study

FORMATS = (".csv", ".parquet")


@dataclass(frozen=True)
class PredictCommand:
    """Options of the command.

    Attributes:
        study: folder or URI.
        images: folder of images.
        out: file of predictions to write.
        mapping: file that maps sub-folders to classes, or None.
        stage: key or name; None if a row is given.
        row: ``ARCHITECTURE,SCENARIO``; None if a stage is given.
        allow_code: whether the study may choose code.
    """

    study: str
    images: Path
    out: Path
    mapping: Path | None
    stage: str | None
    row: str | None
    allow_code: bool


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status: 0, or 2 on bad input."""
    return cli.run(_parser(), PredictCommand, _predict, arguments)


def _predict(options: PredictCommand) -> None:
    out = options.out
    if out.suffix not in FORMATS:
        raise UserError(f"--out {out}: the name should end in {' or '.join(FORMATS)}")
    from analysis.formats.markdown import plain_text
    from analysis.inference.ensemble import predict
    from analysis.inference.external_scores import prediction_table, score
    from analysis.inference.image_folder import read_folder, read_mapping
    from trainables.store.study import Study

    study = Study.open(options.study)
    members = _members(study, options)
    classes = members[0].classes
    mapping = read_mapping(options.mapping) if options.mapping else None
    folder = read_folder(options.images, classes, mapping)
    out.parent.mkdir(parents=True, exist_ok=True)  # fail before the work if it cannot be written
    prediction = predict(members, folder.images)
    document = _document(study, members, folder, prediction, mapping)
    _write(out, prediction_table(classes, prediction))
    if folder.labelled:
        scores = score(classes, prediction)
        document["scores"] = scores.document()
        cli.show(plain_text(scores.table))
        cli.show(scores.sentence)
    _show_notes(document, folder, prediction)
    beside = out.with_name(f"{out.name}.json")
    beside.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    cli.show(
        f"predictions for {len(prediction.images)} images by {len(members)} nets: {out}; their provenance: {beside}"
    )


def _members(study: Study, options: PredictCommand) -> tuple[TrainedModel, ...]:
    """Return the network of a stage, or those of the chosen cells of a row."""
    from analysis.inference.trained_model import cells_of_row, find_trained, open_trained
    from analysis.results.collect import collect

    if options.stage is not None:
        return (find_trained(study, options.stage, options.allow_code),)
    cells = cells_of_row(collect(study), str(options.row))
    return tuple(open_trained(cell.folder, options.allow_code) for cell in cells)


def _document(
    study: Study,
    members: Sequence[TrainedModel],
    folder: FolderImages,
    prediction: EnsemblePrediction,
    mapping: Mapped | None,
) -> dict[str, Any]:
    header = study.header or {}
    return {
        "study": {key: header.get(key) for key in ("name", "uid", "target", "fingerprint", "split")},
        "nets": [
            {"stage": one.folder.name, "key": one.stage.key, "fold": one.stage.fold, "weights_sha256": one.digest}
            for one in members
        ],
        "rule": "mean of softmax over the nets" if len(members) > 1 else "softmax",
        "classes": list(members[0].classes),
        "images": len(prediction.images),
        "mapping": mapping,
        "left_out": dict(folder.left_out),
        "undecodable": prediction.undecodable,
        "also_in_study": _also_in_study(study, prediction),
    }


def _also_in_study(study: Study, prediction: EnsemblePrediction) -> int:
    """Return the number of images whose path is that of an image of the study: networks may have been trained on them."""
    digest = (study.header or {}).get("split")
    try:
        known = set(study.read_split(str(digest)).column("image_id").unique().to_pylist())
    except OSError:
        return 0
    return sum(image.image_id in known for image in prediction.images)


def _show_notes(document: dict[str, Any], folder: FolderImages, prediction: EnsemblePrediction) -> None:
    if folder.note:
        cli.show(f"note: {folder.note}")
    for name, count in folder.left_out.items():
        cli.show(f"note: {count} images of {name} are left out by the mapping")
    for name, reason in list(prediction.undecodable.items())[:5]:
        cli.show(f"note: {name} does not decode and is left out: {reason}")
    if document["also_in_study"]:
        cli.show(
            f"warning: {document['also_in_study']} images have the path of an image of the study; nets may have been "
            "trained on them, so these scores may flatter"
        )


def _write(out: Path, table: pa.Table) -> None:
    if out.suffix == ".parquet":
        import pyarrow.parquet as pq

        pq.write_table(table, out)
        return
    import pyarrow as pa
    from pyarrow import csv

    from analysis.formats.table import no_formula

    columns = [
        pa.array(map(no_formula, column.to_pylist()), column.type) if pa.types.is_string(column.type) else column
        for column in table.columns
    ]
    csv.write_csv(pa.table(columns, [str(no_formula(name)) for name in table.column_names]), out)


def _parser() -> argparse.ArgumentParser:
    parser = cli.parser("predict", "Score a trained stage, or the mean over a row's folds, on a folder of images.")
    cli.add_study(parser)
    cli.add_stage_or_row(parser, "a row of the table: mean of softmax over its runs")
    parser.add_argument(
        "--images", type=Path, required=True, metavar="FOLDER", help="images; sub-folders are their labels"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="predictions, .csv or .parquet")
    parser.add_argument(
        "--mapping", type=Path, metavar="FILE", help="YAML or JSON: sub-folder: class, or null to leave it out"
    )
    cli.add_allow_code(parser)
    return parser


if __name__ == "__main__":
    steady_streams()
    sys.exit(main())

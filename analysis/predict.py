"""Score a trained stage, or a row's folds together, on another folder of images: ``python -m analysis.predict``.

Modules that need torch are imported where they are used, so that ``--help`` is at once there.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis import cli, terminal
from trainables.errors import UserError

if TYPE_CHECKING:
    import pyarrow as pa

    from analysis.inference.ensemble import EnsemblePrediction
    from analysis.inference.image_folder import UnlabelledImages
    from analysis.inference.trained_model import TrainedModel
    from trainables.store.study import Study

FORMATS = (".csv", ".parquet")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status: 0, or 2 where the user must mend something."""
    return cli.run(_parser(), _run, arguments)


def _run(asked: argparse.Namespace) -> None:
    out = Path(asked.out)
    if out.suffix not in FORMATS:
        raise UserError(f"--out {out}: the name should end in {' or '.join(FORMATS)}")
    from analysis.formats.markdown import plain_text
    from analysis.inference.ensemble import predict
    from analysis.inference.external_scores import scores_of, table_of
    from analysis.inference.image_folder import read_folder, read_mapping
    from trainables.store.study import Study

    study = Study.open(asked.study)
    members = members_of(study, asked.stage, asked.row)
    mapping = read_mapping(Path(asked.mapping)) if asked.mapping else None
    folder = read_folder(Path(asked.images), members[0].classes, mapping)
    out.parent.mkdir(parents=True, exist_ok=True)  # what cannot be written is said before the work
    said = predict(members, folder.images)
    document = _document(study, members, folder, said, mapping)
    _write(out, table_of(members[0].classes, said))
    if folder.labelled:
        scored = scores_of(members[0].classes, said)
        document["scores"] = scored.document()
        terminal.show(plain_text(scored.table))
        terminal.show(scored.sentence)
    _notes(document, folder, said)
    beside = out.with_name(f"{out.name}.json")
    beside.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    terminal.show(f"{len(said.images)} images by {len(members)} nets: {out}; how they came about: {beside}")


def members_of(study: Study, stage: str | None, row: str | None) -> tuple[TrainedModel, ...]:
    """Return the nets asked for: one stage, or the chosen cell of each run of a row.

    Raises:
        UserError: if there is no such stage or row, or its weights were not kept.
    """
    from analysis.inference.trained_model import of_row, of_stage

    if stage is not None:
        return (of_stage(study, stage),)
    return tuple(trained for trained, _ in of_row(study, str(row)))


def _document(
    study: Study,
    members: Sequence[TrainedModel],
    folder: UnlabelledImages,
    said: EnsemblePrediction,
    mapping: dict[str, str | None] | None,
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
        "images": len(said.images),
        "mapping": mapping,
        "left_out": dict(folder.left_out),
        "undecodable": said.undecodable,
        "also_in_study": _also_in_study(study, said),
    }


def _also_in_study(study: Study, said: EnsemblePrediction) -> int:
    """Return how many images have the path of an image of the study: then nets may have been trained on them."""
    digest = (study.header or {}).get("split")
    try:
        known = set(study.read_split(str(digest)).column("image_id").unique().to_pylist())
    except OSError:
        return 0
    return sum(image.image_id in known for image in said.images)


def _notes(document: dict[str, Any], folder: UnlabelledImages, said: EnsemblePrediction) -> None:
    if folder.note:
        terminal.show(f"note: {folder.note}")
    for name, count in folder.left_out.items():
        terminal.show(f"note: {count} images of {name} are left out by the mapping")
    for name, what in list(said.undecodable.items())[:5]:
        terminal.show(f"note: {name} does not decode and is left out: {what}")
    if document["also_in_study"]:
        terminal.show(
            f"warning: {document['also_in_study']} images have the path of an image of the study; nets may have been "
            "trained on them, so these scores may flatter"
        )


def _write(out: Path, table: pa.Table) -> None:
    if out.suffix == ".parquet":
        import pyarrow.parquet as pq

        pq.write_table(table, out)
        return
    from pyarrow import csv

    csv.write_csv(table, out)


def _parser() -> argparse.ArgumentParser:
    parser = cli.parser("predict", "Score a trained stage, or the mean over a row's folds, on a folder of images.")
    cli.add_study(parser)
    cli.add_stage_or_row(parser, "a row of the table: mean of softmax over its runs")
    parser.add_argument("--images", required=True, metavar="FOLDER", help="images; sub-folders are their labels")
    parser.add_argument("--out", required=True, metavar="FILE", help="predictions, .csv or .parquet")
    parser.add_argument("--mapping", metavar="FILE", help="YAML or JSON: sub-folder: class, or null to leave it out")
    return parser


if __name__ == "__main__":
    sys.exit(main())

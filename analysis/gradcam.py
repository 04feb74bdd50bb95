"""Class activation maps of a study's best networks, or of any folder of images: ``python -m analysis.gradcam STUDY``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis import cli
from trainables.errors import UserError
from trainables.store import layout
from trainables.streams import steady_streams


@dataclass(frozen=True)
class GradcamCommand:
    """Options of the command. Those of a folder of images are ``stage``, ``images`` and ``out``, all or none.

    Attributes:
        study: folder or URI.
        architecture: names of rows to explain.
        scenario: names of rows to explain.
        classes: names of classes to show.
        count: images of each class and kind.
        data: folder of the data sets.
        masks: folder of masks.
        steps: of the deletion and insertion curves; 0: no checks.
        layer: name of the layer that maps are read from.
        stage: key or name of the trained stage.
        images: folder of images to explain.
        out: folder to write to.
        allow_code: whether the study may choose code.
    """

    study: str
    architecture: Sequence[str]
    scenario: Sequence[str]
    classes: Sequence[str]
    count: int
    data: Path | None
    masks: Path | None
    steps: int
    layer: str | None
    stage: str | None
    images: Path | None
    out: Path | None
    allow_code: bool


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status: 0, or 2 on bad input."""
    return cli.run(_parser(), GradcamCommand, _gradcam, arguments)


def _gradcam(options: GradcamCommand) -> None:
    if fault := _fault(options):
        raise UserError(fault)
    from analysis.explain.explain_command import ExplainRequest, explain_folder, explain_study
    from analysis.explain.records.records_reader import checks_table
    from analysis.formats.markdown import plain_text
    from trainables.store.study import Study

    study = Study.open(options.study)
    request = ExplainRequest(
        architectures=options.architecture,
        scenarios=options.scenario,
        classes=options.classes,
        count=options.count,
        steps=options.steps,
        layer=options.layer,
        data=options.data,
        masks=options.masks,
        allow_code=options.allow_code,
    )
    if options.stage is not None and options.images is not None and options.out is not None:
        folder = str(options.out)
        explained = [explain_folder(study, options.stage, options.images, options.out, request)]
    else:
        folder = study.storage.path(layout.REPORT_FIGURES)
        explained = explain_study(study, request)
    for one in explained:
        if one.checks:
            cli.show(plain_text(checks_table(one)))
        for figure in one.figures:
            cli.show(f"{folder}/{figure.png}")


def _fault(options: GradcamCommand) -> str | None:
    together = [options.stage, options.images, options.out]
    if any(one is not None for one in together) and None in together:
        return "--stage, --images and --out go together: a trained stage, a folder of images, a folder for the figures"
    of_study = options.architecture or options.scenario or options.classes or options.data or options.masks
    if options.images is not None and of_study:
        return "--images explains a folder: --architecture, --scenario, --classes, --data and --masks do not go with it"
    if options.count < 1 or options.steps < 0:
        return "--count must be at least 1, --steps at least 0"
    return None


def _parser() -> argparse.ArgumentParser:
    p = cli.parser(
        "gradcam", "Explain the test images of a study's best trials, or any folder of images with a trained stage."
    )
    cli.add_study(p)
    several: dict[str, Any] = {"action": "extend", "nargs": "+", "default": [], "metavar": "NAME"}
    p.add_argument(
        "--architecture", **several, help="of the rows to explain (default: the row with the best val score)"
    )
    p.add_argument("--scenario", **several, help="of the rows to explain")
    p.add_argument("--classes", **several, help="names of the classes to show (default: all)")
    p.add_argument(
        "--count",
        type=int,
        default=2,
        metavar="N",
        help="images of each class and kind: right, wrong, drawn (default: 2)",
    )
    p.add_argument("--data", type=Path, metavar="DIR", help="folder of the data sets, as for sweep.run")
    p.add_argument("--masks", type=Path, metavar="DIR", help="folder of masks, <name of the image>.png")
    p.add_argument(
        "--steps", type=int, default=10, metavar="N", help="of the faithfulness curves; 0: no checks (default: 10)"
    )
    p.add_argument("--layer", metavar="NAME", help="read the maps from this layer (default: the architecture's own)")
    p.add_argument("--stage", metavar="KEY|NAME", help="with --images: the trained stage")
    p.add_argument("--images", type=Path, metavar="DIR", help="explain this folder of images")
    p.add_argument("--out", type=Path, metavar="DIR", help="with --images: where figures and record go")
    cli.add_allow_code(p)
    return p


if __name__ == "__main__":
    steady_streams()
    sys.exit(main())

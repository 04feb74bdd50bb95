"""Class activation maps of a study's best networks, or of any folder of images: ``python -m analysis.gradcam STUDY``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis import terminal
from trainables.errors import UserError
from trainables.store import layout

if TYPE_CHECKING:
    from analysis.explain.records.records import Explained

BAD_INPUT = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status: 0, or 2 where the user must mend something."""
    command_line = _parser()
    given = command_line.parse_args(arguments)
    fault = _fault(given)
    if fault:
        command_line.error(fault)
    try:
        _run(given)
    except UserError as error:
        terminal.complain(error.faults)
        return BAD_INPUT
    except OSError as error:
        terminal.complain([f"cannot read or write: {error}. Check rights and free room"])
        return BAD_INPUT
    return 0


def _run(given: argparse.Namespace) -> None:
    from analysis.explain.explain_command import ExplainRequest, explain_folder, explain_study
    from trainables.store.study import Study

    study = Study.open(given.study)
    wanted = ExplainRequest(given.architecture, given.scenario, given.classes, given.count, given.steps, given.layer)
    if given.images is not None:
        _show([explain_folder(study, given.stage, given.images, given.out, wanted)], str(given.out))
    else:
        _show(explain_study(study, wanted, given.data, given.masks), study.storage.path(layout.REPORT_FIGURES))


def _show(explained: Sequence[Explained], folder: str) -> None:
    from analysis.explain.records.records_reader import checks_table
    from analysis.formats.markdown import plain_text

    for one in explained:
        if one.checks:
            terminal.show(plain_text(checks_table(one)))
        for figure in one.figures:
            terminal.show(f"{folder}/{figure.png}")


def _fault(given: argparse.Namespace) -> str | None:
    together = [given.stage, given.images, given.out]
    if any(one is not None for one in together) and None in together:
        return "--stage, --images and --out go together: a trained stage, a folder of images, a folder for the figures"
    of_study = given.architecture or given.scenario or given.classes or given.data or given.masks
    if given.images is not None and of_study:
        return "--images explains a folder: --architecture, --scenario, --classes, --data and --masks do not go with it"
    if given.count < 1 or given.steps < 0:
        return "--count must be at least 1, --steps at least 0"
    return None


def _parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog="python -m analysis.gradcam",
        description="Explain the test images of a study's best trials, or any folder of images with a trained stage.",
    )
    p.add_argument("study", metavar="STUDY", help="its folder, or its URI")
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
    return p


if __name__ == "__main__":
    sys.exit(main())

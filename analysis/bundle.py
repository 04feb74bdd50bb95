"""What a paper's archive needs, in one folder or zip file, with digests: ``python -m analysis.bundle``.

A bundle is a study folder: ``python -m analysis.report`` makes its tables anew from it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from analysis import cli, terminal
from trainables.errors import UserError

WEIGHTS = ("chosen", "best", "none")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status: 0, 1 where a bundle is not whole, or 2 on a mistake of the user."""
    return cli.run(_parser(), _work, arguments)


def _work(asked: argparse.Namespace) -> int:
    if asked.verify is not None:
        return _verify(Path(asked.verify))
    if asked.study is None or asked.out is None:
        raise UserError("give STUDY and --out FILE.zip or DIR to pack, or --verify BUNDLE to check")
    from analysis.archive.archive import pack
    from analysis.archive.content import contents
    from trainables.store.study import Study

    out = Path(asked.out)
    packed = pack(contents(Study.open(asked.study), asked.weights), out)
    terminal.show(f"{packed.files} files, {packed.bytes / 1e6:,.1f} MB: {out}")
    terminal.show(f"SHA-256 of its MANIFEST.json, to be cited: {packed.digest}")
    return 0


def _verify(bundle: Path) -> int:
    from analysis.archive.archive import verify

    checked = verify(bundle)
    if checked.faults:
        terminal.complain(checked.faults)
        return 1
    terminal.show(f"{checked.files} files are as they were packed; SHA-256 of MANIFEST.json: {checked.digest}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = cli.parser(
        "bundle", "Pack tables, splits, specifications, predictions, weights and environment of a study."
    )
    parser.add_argument("study", metavar="STUDY", nargs="?", help="its folder or URI")
    parser.add_argument("--out", metavar="FILE.zip|DIR", help="what to write; a folder must be new or empty")
    parser.add_argument(
        "--weights",
        choices=WEIGHTS,
        default="chosen",
        help="whose weights go along: of all chosen cells, of the best row by val, or none (chosen)",
    )
    parser.add_argument("--verify", metavar="BUNDLE", help="check a bundle against its manifest instead")
    return parser


if __name__ == "__main__":
    sys.exit(main())

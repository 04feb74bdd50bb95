"""Pack a study for a paper's archive, with digests, into a folder or zip file: ``python -m analysis.bundle``.

A bundle is a study folder: ``python -m analysis.report`` makes its tables again.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from analysis import cli
from trainables.errors import UserError
from trainables.streams import steady_streams

WEIGHTS = ("chosen", "best", "none")


@dataclass(frozen=True)
class BundleCommand:
    """Options of the command.

    Attributes:
        study: folder or URI, to pack.
        out: what to write.
        weights: whose weights are packed, one of ``WEIGHTS``.
        verify: a bundle to check instead.
        keep_places: whether absolute paths, hosts and process numbers stay in it.
    """

    study: str | None
    out: Path | None
    weights: str
    verify: Path | None
    keep_places: bool


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status: 0, 1 if a bundle fails its check, or 2 on bad input."""
    return cli.run(_parser(), BundleCommand, _bundle, arguments)


def _bundle(options: BundleCommand) -> int:
    if options.verify is not None:
        return _verify(options.verify)
    if options.study is None or options.out is None:
        raise UserError("give STUDY and --out FILE.zip or DIR to pack, or --verify BUNDLE to check")
    from analysis.archive.archive import pack
    from analysis.archive.content import contents
    from trainables.store.study import Study

    packed = pack(contents(Study.open(options.study), options.weights, options.keep_places), options.out)
    cli.show(f"{packed.files} files, {packed.bytes / 1e6:,.1f} MB: {options.out}")
    cli.show(f"SHA-256 of its MANIFEST.json, to be cited: {packed.digest}")
    return 0


def _verify(bundle: Path) -> int:
    from analysis.archive.archive import verify

    checked = verify(bundle)
    if checked.faults:
        cli.complain(checked.faults)
        return 1
    cli.show(f"{checked.files} files are as they were packed; SHA-256 of MANIFEST.json: {checked.digest}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = cli.parser(
        "bundle", "Pack tables, splits, specifications, predictions, weights and environment of a study."
    )
    parser.add_argument("study", metavar="STUDY", nargs="?", help="its folder or URI")
    parser.add_argument("--out", type=Path, metavar="FILE.zip|DIR", help="what to write; a folder must be new or empty")
    parser.add_argument(
        "--weights",
        choices=WEIGHTS,
        default="chosen",
        help="whose weights go along: of all chosen cells, of the best row by val, or none (chosen)",
    )
    parser.add_argument(
        "--keep-places", action="store_true", help="leave absolute paths, hosts and process numbers in it"
    )
    parser.add_argument("--verify", type=Path, metavar="BUNDLE", help="check a bundle against its manifest instead")
    return parser


if __name__ == "__main__":
    steady_streams()
    sys.exit(main())

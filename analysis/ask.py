"""Answer a research question by name, or compare chosen rows: ``python -m analysis.ask``.

All comparisons of ``--pair`` in one call are one family for Holm's correction.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from analysis import cli
from analysis.stats import QUESTIONS
from trainables.errors import UserError, suggestion
from trainables.streams import steady_streams

if TYPE_CHECKING:
    from analysis.results.collect import Collected
    from analysis.results.grid_file import Domain
    from analysis.stats.comparisons import Comparer, Comparison, RowPair
    from analysis.stats.findings import Finding


@dataclass(frozen=True)
class AskCommand:
    """Options of the command.

    Attributes:
        study: folder or URI.
        question: names of research questions.
        pair: pairs of rows, each ``ARCHITECTURE,SCENARIO``.
        in_domain: data sets of the target's domain.
        out_of_domain: data sets of another domain.
    """

    study: str
    question: Sequence[str]
    pair: Sequence[Sequence[str]]
    in_domain: Sequence[str]
    out_of_domain: Sequence[str]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status: 0, or 2 on bad input."""
    return cli.run(_parser(), AskCommand, _ask, arguments)


def _ask(options: AskCommand) -> None:
    from analysis.formats.markdown import plain_text
    from analysis.results.collect import collect
    from analysis.stats.findings import finding
    from analysis.stats.report_data import ReportData
    from analysis.tables.comparisons import comparisons_table
    from trainables.store.study import Study

    if not options.question and not options.pair:
        raise UserError(f"give a question ({', '.join(QUESTIONS)}) or --pair ARCH,SCENARIO ARCH,SCENARIO")
    _refuse_unknown(options.question)
    collected = collect(Study.open(options.study))
    comparer = ReportData(collected).comparer
    domains = _domains(collected, options)
    findings = [finding(comparer, name, domains) for name in options.question]
    if options.pair:
        findings.append(_compared(comparer, [_pair(collected, pair) for pair in options.pair]))
    for one in findings:
        cli.show(f"{one.question} {one.sentence}\n")
    cli.show(plain_text(comparisons_table(collected, findings)))


def _refuse_unknown(names: Sequence[str]) -> None:
    faults = [
        f"no question {name}{suggestion(name, QUESTIONS) or '.'} There are {', '.join(QUESTIONS)}"
        for name in names
        if name not in QUESTIONS
    ]
    if faults:
        raise UserError(faults)


def _compared(comparer: Comparer, pairs: Sequence[RowPair]) -> Finding:
    """Return the comparisons of some pairs of rows as a finding."""
    from analysis.stats.comparisons import Comparison
    from analysis.stats.findings import Finding

    family = comparer.family(Comparison(", ".join(pair[0]), ", ".join(pair[1]), (pair,)) for pair in pairs)
    sentences = " ".join(_sentence(place, family) for place in range(len(family)))
    return Finding("pairs", "The requested pairs.", sentences, family)


def _sentence(place: int, family: Sequence[Comparison]) -> str:
    from analysis.stats.findings import sentence

    one = family[place]
    reordered = (one, *family[:place], *family[place + 1 :])
    return sentence(reordered, f"with {one.first}", f"with {one.second}")


def _pair(collected: Collected, pair: Sequence[str]) -> RowPair:
    from analysis.inference.trained_model import row_named

    first, second = (row_named(collected, one, "--pair") for one in pair)
    if first == second:
        raise UserError(f"--pair {' '.join(pair)}: twice the same row. Name two")
    return first, second


def _domains(collected: Collected, options: AskCommand) -> dict[str, Domain]:
    known = collected.grid.pretraining_sets
    unknown = [name for name in (*options.in_domain, *options.out_of_domain) if name not in known]
    if unknown and collected.grid.fault is None:
        there = f"There are {', '.join(known)}" if known else "There is none"
        raise UserError(f"no scenario pre-trains on {name}{suggestion(name, known) or '.'} {there}" for name in unknown)
    if both := sorted({*options.in_domain} & {*options.out_of_domain}):
        raise UserError(f"{', '.join(both)}: given with --in-domain and with --out-of-domain. Give one of the two")
    found: dict[str, Domain] = dict.fromkeys(options.in_domain, "in")
    return found | dict.fromkeys(options.out_of_domain, "out")


def _parser() -> argparse.ArgumentParser:
    parser = cli.parser(
        "ask", "Answer questions by name, or compare rows: paired over folds, corrected for the family."
    )
    cli.add_study(parser)
    parser.add_argument("question", nargs="*", metavar="QUESTION", help=f"one or more of {', '.join(QUESTIONS)}")
    two = ("ARCH,SCENARIO", "ARCH,SCENARIO")
    parser.add_argument(
        "--pair", nargs=2, action="append", default=[], metavar=two, help="compare two rows; repeatable"
    )
    parser.add_argument("--in-domain", nargs="+", default=[], metavar="DATA", help="data sets of the target's domain")
    parser.add_argument("--out-of-domain", nargs="+", default=[], metavar="DATA", help="data sets of another domain")
    return parser


if __name__ == "__main__":
    steady_streams()
    sys.exit(main())

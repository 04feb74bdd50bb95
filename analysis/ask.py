"""Ask a study a question by name, or compare rows of one's choice: ``python -m analysis.ask``.

All comparisons of one call are one family for Holm's correction. Modules that need numpy or pyarrow are
imported where they are used, so that ``--help`` is at once there.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from analysis import cli, terminal
from trainables.errors import UserError, suggestion

if TYPE_CHECKING:
    from analysis.results.collect import Collected
    from analysis.results.grid_file import Domain
    from analysis.stats.comparisons import Comparer, Comparison, Name
    from analysis.stats.findings import Finding

NAMES = ("imagenet", "domain", "architecture")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status: 0, or 2 where the user must mend something."""
    return cli.run(_parser(), _work, arguments)


def _work(asked: argparse.Namespace) -> None:
    from analysis.formats.markdown import plain_text
    from analysis.results.collect import collect
    from analysis.stats.class_averages import row_scores
    from analysis.stats.comparisons import Comparer
    from analysis.tables.comparisons import comparisons_table
    from trainables.store.study import Study

    if not asked.question and not asked.pair:
        raise UserError(f"give a question ({', '.join(NAMES)}) or --pair ARCH,SCENARIO ARCH,SCENARIO")
    collected = collect(Study.open(asked.study))
    comparer = Comparer(collected, row_scores(collected))
    found = _answers(comparer, asked.question, _domains(collected, asked))
    if asked.pair:
        found += (_own(comparer, [_pair(collected, pair) for pair in asked.pair]),)
    for answer in found:
        terminal.show(f"{answer.question} {answer.sentence}\n")
    terminal.show(plain_text(comparisons_table(collected, found)))


def _answers(comparer: Comparer, names: Sequence[str], domains: dict[str, Domain]) -> tuple[Finding, ...]:
    from analysis.stats import findings

    asked = {
        "imagenet": lambda: findings.imagenet(comparer),
        "domain": lambda: findings.domain(comparer, domains),
        "architecture": lambda: findings.architecture(comparer),
    }
    unknown = [name for name in names if name not in asked]
    if unknown:
        raise UserError(
            f"no question {name}{suggestion(name, NAMES) or '.'} There are {', '.join(NAMES)}" for name in unknown
        )
    return tuple(asked[name]() for name in names)


def _own(comparer: Comparer, pairs: Sequence[tuple[Name, Name]]) -> Finding:
    from analysis.stats.comparisons import Comparison
    from analysis.stats.findings import Finding

    asked = (Comparison(", ".join(first), ", ".join(second), ((first, second),)) for first, second in pairs)
    family = comparer.family(asked)
    return Finding("pairs", "The pairs asked for.", " ".join(_said(one, family) for one in family), family)


def _said(one: Comparison, family: tuple[Comparison, ...]) -> str:
    from analysis.stats.findings import sentence

    return sentence(
        (one, *(other for other in family if other is not one)), "with {first}", f"with {one.second}", one.first
    )


def _pair(collected: Collected, pair: Sequence[str]) -> tuple[Name, Name]:
    from analysis.inference.trained_model import row_named

    first, second = (row_named(collected, one, "--pair") for one in pair)
    if first == second:
        raise UserError(f"--pair {' '.join(pair)}: twice the same row. Name two")
    return first, second


def _domains(collected: Collected, asked: argparse.Namespace) -> dict[str, Domain]:
    known = dict.fromkeys(name for kind in collected.grid.scenarios.values() for name in kind.pretrain)
    unknown = [name for name in (*asked.in_domain, *asked.out_of_domain) if name not in known]
    if unknown and collected.grid.fault is None:
        there = f"There are {', '.join(known)}" if known else "There is none"
        raise UserError(
            f"no scenario pre-trains on {name}{suggestion(name, [*known]) or '.'} {there}" for name in unknown
        )
    if both := sorted({*asked.in_domain} & {*asked.out_of_domain}):
        raise UserError(f"{', '.join(both)}: said to be in the target's domain and out of it. Say one")
    found: dict[str, Domain] = dict.fromkeys(asked.in_domain, "in")
    return found | dict.fromkeys(asked.out_of_domain, "out")


def _parser() -> argparse.ArgumentParser:
    parser = cli.parser(
        "ask", "Answer questions by name, or compare rows: paired over folds, corrected for the family."
    )
    cli.add_study(parser)
    parser.add_argument("question", nargs="*", metavar="QUESTION", help=f"one or more of {', '.join(NAMES)}")
    two = ("ARCH,SCENARIO", "ARCH,SCENARIO")
    parser.add_argument(
        "--pair", nargs=2, action="append", default=[], metavar=two, help="compare two rows; repeatable"
    )
    parser.add_argument("--in-domain", nargs="+", default=[], metavar="DATA", help="data sets of the target's domain")
    parser.add_argument("--out-of-domain", nargs="+", default=[], metavar="DATA", help="data sets of another domain")
    return parser


if __name__ == "__main__":
    sys.exit(main())

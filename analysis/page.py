"""The report page: one self-contained HTML file. Everything shown is escaped by the template engine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import groupby

from analysis import facts
from analysis.collect import Collected, LeftOut
from analysis.html import engine
from analysis.progress import State
from analysis.sections import Tables

TEMPLATE = "report.html.j2"
SHOWN_PROBLEMS = 200
STATES: dict[State, str] = {
    "refused": "Left out, because the result cannot be relied on",
    "failed": "Failed",
    "blocked": "Blocked",
    "running": "Running",
    "not run": "Not run",
    "excluded": "Excluded by a rule of the grid",
}


def render(collected: Collected, tables: Tables) -> str:
    """Return the page."""
    return (
        engine()
        .get_template(TEMPLATE)
        .render(
            study=collected.header,
            plan=collected.plan,
            split=collected.split,
            question=facts.question(collected),
            progress=_progress(collected),
            tables=tables,
            missing=_by_state(collected.left_out),
            problems=collected.problems[:SHOWN_PROBLEMS],
            problem_counts=_problem_counts(collected.problems),
            methods=facts.methods(collected),
            environment=facts.environment(collected),
            recipe=facts.recipe(collected),
        )
    )


def _progress(collected: Collected) -> str:
    planned = len(collected.plan.cells)
    if len(collected.cells) == planned:
        return f"All {planned} cells are done and verified."
    counts = Counter(out.state for out in collected.left_out)
    others = ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state])
    return f"{len(collected.cells)} of {planned} cells are done and verified; {others}."


def _by_state(left_out: tuple[LeftOut, ...]) -> list[tuple[str, list[LeftOut]]]:
    order = list(STATES)
    ranked = sorted(left_out, key=lambda out: order.index(out.state))
    return [(STATES[state], list(outs)) for state, outs in groupby(ranked, key=lambda out: out.state)]


def _problem_counts(problems: tuple[Mapping[str, str], ...]) -> list[tuple[str, int]]:
    return Counter(f"{row['data_set']}: {row['what']}" for row in problems).most_common()

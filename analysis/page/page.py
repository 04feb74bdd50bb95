"""The report page: one self-contained HTML file. The template engine escapes all texts."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections import Counter
from collections.abc import Mapping
from itertools import groupby

from markupsafe import Markup

from analysis.figures.drawing import palette
from analysis.page.heatmaps import Gallery
from analysis.page.methods import methods
from analysis.page.sections import ReportContent
from analysis.page.templating import engine, source
from analysis.results.collect import Collected, LeftOut
from analysis.results.progress import State
from analysis.stats import study_summary

TEMPLATE, STYLE, SCRIPT = "report.html.j2", "style.css.j2", "script.js.j2"
MOST_PROBLEMS = 200
"""Data problems that are listed; the others are counted."""
STATES: dict[State, str] = {
    "refused": "Left out, because the result cannot be relied on",
    "failed": "Failed",
    "blocked": "Blocked",
    "running": "Running",
    "not run": "Not run",
    "excluded": "Excluded by a rule of the grid",
}
BACK = ("cost", "runs")
"""Sections that come after the methods."""


def render(collected: Collected, content: ReportContent, gallery: Gallery, proof: str, pdf: bool = False) -> str:
    """Return the page as HTML.

    Args:
        collected: the study.
        content: its tables, figures and findings.
        gallery: its explanations.
        proof: properties of the split, from ``split_proof``.
        pdf: whether the figures were written as PDF too.
    """
    style, script = f"{source(STYLE)}{palette.css()}\n", source(SCRIPT)
    sections = {section.name: section for section in content.sections}
    front = [section for section in content.sections if section.name not in BACK]
    table_of_contents = [
        ("question", "Question"),
        *((section.name, section.heading) for section in front),
        *(("methods", "Methods"), ("cost", "Cost"), ("missing", "What is missing"), ("problems", "Data problems")),
        *(("runs", "Sources"), ("files", "Files")),
    ]
    return (
        engine()
        .get_template(TEMPLATE)
        .render(
            policy=_policy(style, script),
            # Not escaped: the policy holds the hashes of these very texts.
            style=Markup(style),  # noqa: S704
            script=Markup(script),  # noqa: S704
            table_of_contents=table_of_contents,
            study=collected.header,
            plan=collected.plan,
            split=collected.split,
            design=study_summary.design(collected),
            progress=_progress(collected),
            content=content,
            front=front,
            **{name: sections[name] for name in BACK},
            gallery=gallery,
            missing=_by_state(collected.left_out),
            problems=collected.problems[:MOST_PROBLEMS],
            problem_total=len(collected.problems),
            problem_counts=_problem_counts(collected.problems),
            methods=methods(collected, proof),
            environment=study_summary.environment(collected),
            recipe=study_summary.recipe(collected),
            pdf=pdf,
        )
    )


def _policy(style: str, script: str) -> str:
    """Return the content security policy: nothing is loaded, and only this style and this script are applied."""
    hashes = (b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (style, script))
    style_hash, script_hash = (f"'sha256-{one}'" for one in hashes)
    return (
        f"default-src 'none'; style-src {style_hash}; script-src {script_hash}; img-src data:; base-uri 'none'; "
        "form-action 'none'"
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

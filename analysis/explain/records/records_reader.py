"""Read the explanations of a study back from their records, without torch or matplotlib."""

from __future__ import annotations

from collections.abc import Collection

from pydantic import ValidationError

from analysis.explain.records.records import MEANING, Explained
from analysis.formats.table import Column, Footnote, Row, Table
from analysis.results.plan_file import one_line
from trainables.errors import UserError
from trainables.store import layout
from trainables.store.study import Study

PREFIX = "gradcam-"
"""Begins the name of every figure and record."""


def read_gallery(study: Study, keys: Collection[str] | None = None) -> tuple[Explained, ...]:
    """Return the explained networks of a study; their files are in ``report/figures``.

    Args:
        study: the study.
        keys: keys of the stages to return; None: all.

    Raises:
        UserError: if a record cannot be read.
    """
    found = []
    for name in study.storage.names(layout.REPORT_FIGURES):
        if not (name.startswith(PREFIX) and name.endswith(".json")):
            continue
        path = f"{layout.REPORT_FIGURES}/{name}"
        try:
            one = Explained.model_validate_json(study.storage.read(path))
        except ValidationError as error:
            raise UserError(
                f"{study.storage.path(path)} is not as expected: {one_line(error)}. Delete it, or run python -m analysis.gradcam again"
            ) from error
        if keys is None or one.key in keys:
            found.append(one)
    return tuple(found)


def checks_table(explained: Explained) -> Table:
    """Return the checks of a network's maps: one row per check and map."""
    columns = (
        Column("check", "Check"),
        Column("map", "Map"),
        Column("mean", "Mean ± SD over images", "score", "sd"),
        Column("images", "Images", "count"),
        Column("undefined", "Undefined", "count"),
    )
    meanings = {one.check: one.meaning or MEANING[one.check] for one in explained.checks}
    notes = (*(f"{name}: {meaning}." for name, meaning in meanings.items()), *explained.notes)
    return Table(
        name=f"explanations-{explained.key[:8]}",
        title=f"Whether to believe the maps: {explained.architecture}, {explained.scenario}",
        columns=columns,
        rows=tuple(Row(one.model_dump(exclude={"meaning"})) for one in explained.checks),
        caption="Computed on the images that are shown, which were chosen, not drawn: read them as checks, not as scores.",
        footnotes=tuple(Footnote("", note) for note in notes),
    )

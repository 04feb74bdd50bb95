"""What the report needs to show explanations: read back from their records, without torch or matplotlib."""

from __future__ import annotations

from collections.abc import Collection

from pydantic import ValidationError

from analysis.explain.records.records import MEANING, Explained
from analysis.formats.table import Column, Footnote, Row, Table
from analysis.results.plan_file import explain
from trainables.errors import UserError
from trainables.store import layout
from trainables.store.study import Study


def read_gallery(study: Study, keys: Collection[str] | None = None) -> tuple[Explained, ...]:
    """Return what was explained of a study; file names in it are below ``report/figures``.

    Args:
        study: the study.
        keys: of the stages that count; None: all. What is of another stage is left out.

    Raises:
        UserError: if a record cannot be read.
    """
    found = []
    for name in study.storage.names(layout.REPORT_FIGURES):
        if not (name.startswith("gradcam-") and name.endswith(".json")):
            continue
        path = f"{layout.REPORT_FIGURES}/{name}"
        try:
            one = Explained.model_validate_json(study.storage.read(path))
        except ValidationError as error:
            raise UserError(
                f"{study.storage.path(path)} is not as expected: {explain(error)}. Delete it, or run python -m analysis.gradcam again"
            ) from error
        if keys is None or one.key in keys:
            found.append(one)
    return tuple(found)


def checks_table(explained: Explained) -> Table:
    """Return the checks of one network's maps as a table: one row a check and map."""
    rows = tuple(
        Row(
            {
                "check": one.check,
                "map": one.map,
                "mean": one.mean,
                "sd": one.sd,
                "images": one.images,
                "undefined": one.undefined,
            }
        )
        for one in explained.checks
    )
    used = dict.fromkeys(one.check for one in explained.checks)
    columns = (
        Column("check", "Check"),
        Column("map", "Map"),
        Column("mean", "Mean ± SD over images", "score", "sd"),
        Column("images", "Images", "count"),
        Column("undefined", "Undefined", "count"),
    )
    return Table(
        name=f"explanations-{explained.key[:8]}",
        title=f"Whether to believe the maps: {explained.architecture}, {explained.scenario}",
        columns=columns,
        rows=rows,
        caption="Computed on the images that are shown, which were chosen, not drawn: read them as checks, not as scores.",
        footnotes=tuple(Footnote("", f"{name}: {MEANING[name]}.") for name in used)
        + tuple(Footnote("", note) for note in explained.notes),
    )

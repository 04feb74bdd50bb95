"""What a study was begun with, kept in ``study.json``: checked before a run goes on, written before the first stage."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sweep.grid.auto.precision import KeptPrecision
from sweep.grid.editions import FIRST, LATEST, is_edition
from sweep.grid.grid import Grid
from sweep.grid.loader import check_grid
from sweep.grid.yaml_document import Document
from sweep.plan.inputs import Inputs
from sweep.plan.plan import Plan
from trainables.errors import StorageError, UserError
from trainables.hashing import short_key
from trainables.store import layout
from trainables.store.study import Study


def load_for_study(document: Document, study: Study) -> Grid:
    """Check a grid, with the edition of defaults and the meaning of ``precision: auto`` that its study was begun with.

    Args:
        document: the grid as it is written.
        study: may be new. One without an edition has the first; one without a precision, which is from before ``auto``
            existed, has float32.

    Raises:
        UserError: if the grid has faults or names another edition than the study's, or the storage does not answer.
    """
    try:
        header = study.header
    except StorageError as error:  # told now, before data sets are prepared
        raise UserError(f"cannot read {study.storage.path(layout.STUDY)}: {error}. Nothing was started") from error
    except (OSError, ValueError):  # header_faults tells it, with a way out
        header = None
    if header is None:
        return check_grid(document)
    kept = header.get("edition", FIRST)
    _refuse_other_edition(document, study, kept)
    return replace(check_grid(document, kept), kept_precision=KeptPrecision.from_header(header))


def _refuse_other_edition(document: Document, study: Study, kept: Any) -> None:
    place, given = study.storage.path(), document.value.get("edition")
    if not is_edition(kept):
        raise UserError(
            f"the study {place} has edition {kept!r} of the defaults; this version of the project knows {FIRST} to "
            f"{LATEST}. Go on with the version that made it"
        )
    if is_edition(given) and given != kept:
        raise UserError(
            f"{document.where(('edition',))}: edition {given} of the defaults, but the study {place} was begun with "
            f"edition {kept}. A study has one: leave `edition` out to go on with it, or give --study another name"
        )


def header_faults(study: Study, grid: Grid, inputs: Inputs) -> list[str]:
    """Return why a grid cannot go on in a study: ``study.json`` is unreadable, or of other target data or another split.

    Args:
        study: may be new.
        grid: the grid.
        inputs: its data and splits, as far as they are at hand.
    """
    target = grid.file.target
    try:
        header = study.header
    except (OSError, ValueError) as error:
        return [
            f"cannot read {study.storage.path(layout.STUDY)}: {error}. Mend that, or give another --storage or --study"
        ]
    if header is None or target not in inputs.data:
        return []
    return [
        f"the study {study.storage.path()} was made with {what} {short_key(header.get(field))}, the grid now gives "
        f"{short_key(found)}. A study has one; give --study another name"
        for field, what, found in (
            ("fingerprint", f"the target data ({target})", inputs.data[target].fingerprint),
            ("split", "the split", inputs.splits[target].digest),
        )
        if header.get(field) != found
    ]


def write_study(study: Study, name: str, plan: Plan, inputs: Inputs, places: Mapping[str, Any]) -> None:
    """Write the files that a study has before its first stage: splits, header, grid, plan and problems of the data.

    Args:
        study: the study.
        name: its name.
        plan: its stages.
        inputs: of the plan.
        places: folders of data and weights, by option, so that a later command can repeat them.
    """
    target = plan.grid.file.target
    for split in inputs.splits.values():
        study.write_split(split.digest, split.table)
    header, kept = study.header, plan.grid.precision_to_keep
    if header is None:
        header = {
            "name": name,
            "uid": uuid.uuid4().hex,
            "target": target,
            "fingerprint": inputs.data[target].fingerprint,
            "split": inputs.splits[target].digest,
            **kept.document(),
            "edition": plan.grid.file.edition,
        }
        study.storage.write_json(layout.STUDY, header)
    elif kept != plan.grid.kept_precision and kept.single is None:  # architectures were added to the grid
        study.storage.write_json(layout.STUDY, {**header, **kept.document()})
    study.storage.write(layout.GRID, plan.grid.resolved().encode())
    study.storage.write_json(layout.PLAN, {**plan.document(name, inputs), "places": places})
    study.write_problems(inputs.problems)

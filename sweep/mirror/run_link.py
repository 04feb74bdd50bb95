"""``wandb.json``: in a stage folder it names the stage's run; in the study folder the study's sweep, view and report."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from sweep.mirror.settings import MirrorSettings
from trainables.store import layout
from trainables.store.storage import Storage
from trainables.store.study import StageFolder

ID_CHARS = 16
"""Characters of a run id."""


@dataclass(frozen=True)
class RunLink:
    """The run of a stage. The fields are those of the file.

    Attributes:
        run: id of the run.
        generation: from 0; goes up when a new run is needed: the result was retired, or the run deleted in W&B.
        retired: time at which the last result was retired, seconds since 1970; None if none was.
        url: page of the run, once a server has it.
        sweep: id of the sweep that the run is attached to.
        online: whether rows were ever sent to a server directly; then no offline log of the run is uploaded.
        whole: whether the server has all of a finished stage.
        order: epochs in the order in which they were logged, as far as that was not 0, 1, 2 …: the server tells how many
            rows it has, this tells which epochs they are.
    """

    run: str
    generation: int = 0
    retired: float | None = None
    url: str | None = None
    sweep: str | None = None
    online: bool = False
    whole: bool = False
    order: tuple[int, ...] = ()

    def write(self, folder: StageFolder) -> None:
        """Keep it in the stage folder."""
        folder.files.write_json(layout.WANDB, asdict(self))

    def renewed(self, settings: MirrorSettings, key: str) -> RunLink:
        """Return the link to a new run of the same stage.

        Args:
            settings: of the mirror; has the uid of the study.
            key: of the stage.
        """
        generation = self.generation + 1
        return RunLink(run_id(settings, key, generation), generation, self.retired)


def run_id(settings: MirrorSettings, key: str, generation: int) -> str:
    """Return the id of a stage's run, the same for all its attempts.

    Args:
        settings: of the mirror; has the uid of the study.
        key: of the stage.
        generation: see ``RunLink.generation``.
    """
    return hashlib.sha256(f"{settings.uid}/{key}/{generation}".encode()).hexdigest()[:ID_CHARS]


def logged_epochs(order: Sequence[int], rows: int) -> list[int]:
    """Return which epochs the rows of a run are.

    Args:
        order: the first epochs, as in ``RunLink.order``. After them the epochs follow one another.
        rows: number of rows that the run has.
    """
    epochs = list(order)
    while len(epochs) < rows:
        epochs.append(epochs[-1] + 1 if epochs else 0)
    return epochs[:rows]


def read_link(folder: StageFolder) -> RunLink | None:
    """Return the link of a stage, or None where there is none that can be read."""
    document = _document(folder.files, layout.WANDB)
    try:
        link = RunLink(**document)
    except TypeError:
        return None
    return replace(link, order=tuple(link.order))


def link_of(folder: StageFolder, settings: MirrorSettings, key: str) -> tuple[RunLink, bool]:
    """Return the link of a stage, new if there is none or if its run belongs to a retired result.

    Args:
        folder: of the stage.
        settings: of the mirror; has the uid of the study.
        key: of the stage.

    Returns:
        the link, and whether its run was started before.
    """
    retired = _document(folder.files, layout.RETIRED).get("time")
    link = read_link(folder)
    if link is None:
        return RunLink(run_id(settings, key, 0), retired=retired), False
    if link.retired != retired:
        return replace(link.renewed(settings, key), retired=retired), False
    return link, True


def read_study_link(storage: Storage) -> dict[str, Any]:
    """Return the study's ``wandb.json``: entity, project, sweep, view, report; ``{}`` if there is none."""
    return _document(storage, layout.WANDB)


def write_study_link(storage: Storage, **fields: str | None) -> dict[str, Any]:
    """Update fields of the study's ``wandb.json``.

    Args:
        storage: of the study.
        **fields: new values.

    Returns:
        the whole document.
    """
    document = {**read_study_link(storage), **fields}
    storage.write_json(layout.WANDB, document)
    return document


def _document(storage: Storage, name: str) -> dict[str, Any]:
    try:
        return storage.read_json_or_none(name) or {}
    except OSError:
        return {}

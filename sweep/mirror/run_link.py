"""``wandb.json``: in a stage folder the run that mirrors the stage, in the study's the sweep, view and report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from sweep.mirror.settings import MirrorSettings
from trainables.store import layout
from trainables.store.storage import Storage
from trainables.store.study import StageFolder


@dataclass(frozen=True)
class RunLink:
    """The run of a stage.

    Attributes:
        run: its id.
        generation: counts up where a new run must be made: the result was taken back, or the run deleted in W&B.
        retired: when the last result was taken back.
        url: of the run, once a server knows it.
        sweep: the sweep that the run was attached to.
        online: whether a server was ever told of the run directly; then an offline log of it is not synced as well.
        whole: whether the server has all of a finished stage.
        order: in which the epochs were told, as far as they were not told one after the other from 0 on: the
            server says how many rows it has, and this which epochs they are.
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
        """Return the link to a new run of the same stage."""
        generation = self.generation + 1
        return RunLink(settings.run_id(key, generation), generation, self.retired)


def epochs_of(order: Sequence[int], rows: int) -> list[int]:
    """Return the epochs of so many rows: told in that order, and after it one after the other."""
    told = list(order)
    while len(told) < rows:
        told.append(told[-1] + 1 if told else 0)
    return told[:rows]


def read_link(folder: StageFolder) -> RunLink | None:
    """Return the link of a stage, or None where there is none that can be read."""
    document = _document(folder.files, layout.WANDB)
    try:
        link = RunLink(**document)
    except TypeError:
        return None
    return replace(link, order=tuple(link.order))


def link_of(folder: StageFolder, settings: MirrorSettings, key: str) -> tuple[RunLink, bool]:
    """Return the link of a stage, made where there is none, and whether its run was begun before.

    A result that was taken back was another run's.
    """
    retired = _document(folder.files, layout.RETIRED).get("time")
    link = read_link(folder)
    if link is None:
        return RunLink(settings.run_id(key, 0), retired=retired), False
    if link.retired != retired:
        return replace(link.renewed(settings, key), retired=retired), False
    return link, True


def read_study_link(storage: Storage) -> dict[str, Any]:
    """Return what a study knows of its place in W&B: entity, project, sweep, view, report; {} where nothing."""
    return _document(storage, layout.WANDB)


def write_study_link(storage: Storage, **fields: str | None) -> dict[str, Any]:
    """Add to what a study knows of its place in W&B; return it all."""
    document = {**read_study_link(storage), **fields}
    storage.write_json(layout.WANDB, document)
    return document


def _document(storage: Storage, name: str) -> dict[str, Any]:
    try:
        return storage.read_json_or_none(name) or {}
    except OSError:
        return {}

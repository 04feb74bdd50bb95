"""The files of a bundle with their verified bytes, read one at a time."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from analysis.archive.privacy import PublicStorage
from analysis.page.build import build
from analysis.results.collect import Collected, best_row, collect
from analysis.results.plan_file import PlannedStage, one_line
from analysis.results.verify import Cell
from analysis.stats import study_summary
from trainables.errors import UserError
from trainables.store import layout
from trainables.store.storage import Storage
from trainables.store.study import StageFolder, Study
from trainables.store.untrusted import plain_name

File = tuple[str, Callable[[], bytes]]
"""A name in the bundle, and a function that reads its bytes."""

STUDY_FILES = (
    layout.STUDY,
    layout.GRID,
    layout.PLAN,
    layout.SELECTION,
    layout.DATA_PROBLEMS,
)
README = """# {name}

A study of {target}: {cells} of {planned} planned cells, verified. Packed by `python -m analysis.bundle`.

- `report/`: the report page, its tables as CSV, Markdown and LaTeX, its figures as files
- `grid.yaml`, `plan.json`: what was requested; `stages/*/stage.json`: the full specification of each stage
- `splits/`: which image was train, val and test in each fold
- `stages/*/predictions.parquet`: logits of every val and test image, from which all tables are computed
- `stages/*/weights.safetensors`: weights of {weights}
- `environment.json`: versions, devices, precision
- `MANIFEST.json`: SHA-256 of every file; `python -m analysis.bundle --verify BUNDLE` checks them

Unpacked, this is a study folder: `python -m analysis.report FOLDER` makes the tables again.
The images are not in it; their fingerprint is {fingerprint}.
{missing}"""
WHOSE = {"chosen": "the chosen cells, where they were kept", "best": "the best row by val", "none": "none"}


def contents(study: Study, weights: str, keep_places: bool = False) -> Iterator[File]:
    """Yield all files of a bundle.

    Args:
        study: finished or not.
        weights: whose weights are packed: ``chosen``, ``best`` (row by val) or ``none``.
        keep_places: whether absolute paths, hosts and process numbers stay in it.

    Raises:
        UserError: if no cell counts, or the study cannot be read.
    """
    if not keep_places:
        study = Study(PublicStorage(study.storage.location))
    collected = collect(study)
    if not collected.cells:
        raise UserError(f"{study.storage.path()} has no cell that counts yet: there is nothing to pack")
    yield "README.md", lambda: _readme(collected, weights).encode()
    yield "environment.json", lambda: _json(_environment(collected))
    for name in STUDY_FILES:
        if study.storage.exists(name):
            yield name, _reader(study.storage, name)
    yield from _report(study)
    yield from _splits(study)
    wanted = {cell.folder.name for cell in with_weights(collected, weights)}
    for folder in _folders(collected):
        yield from _stage(folder, folder.name in wanted)


def _report(study: Study) -> Iterator[File]:
    """Yield the report, written to a temporary folder: the study may be read-only."""
    is_public = isinstance(study.storage, PublicStorage)
    instead = (study.storage.location, study.storage.name) if is_public else ("", "")
    with TemporaryDirectory(prefix="bundle-report-") as folder:
        made = Storage(Path(folder))
        build(study, into=made)
        explained = study.storage.child(layout.REPORT_FIGURES).files()
        # Explanations are in the study alone; figures of the report are those just made.
        sources = {f"{layout.REPORT_FIGURES}/{name}": study.storage for name in explained}
        sources |= dict.fromkeys(made.files(), made)
        for name, storage in sorted(sources.items()):
            yield name, _reader(storage, name, instead)


def with_weights(collected: Collected, weights: str) -> tuple[Cell, ...]:
    """Return the cells whose weights are packed.

    Args:
        collected: the study.
        weights: ``chosen``, ``best`` (row by val) or ``none``.
    """
    if weights == "chosen":
        return collected.chosen
    rows = collected.chosen_by_row
    return tuple(rows[best_row(rows)]) if weights == "best" and rows else ()


def _folders(collected: Collected) -> Iterator[StageFolder]:
    """Yield the folders of the verified cells and of their finished upstream stages, each once."""
    done: set[str] = set()

    def upstream(stage: PlannedStage) -> Iterator[StageFolder]:
        for found in collected.progress.upstream(stage):
            folder = collected.progress.folder(found.key)
            if folder is not None and folder.name not in done and folder.result() is not None:
                done.add(folder.name)
                yield from upstream(found)
                yield folder

    for cell in collected.cells:
        yield from upstream(cell.planned)
        yield cell.folder


def _stage(folder: StageFolder, weights: bool) -> Iterator[File]:
    result = folder.result() or {}
    for name in result.get("digests", {}):
        if name != layout.WEIGHTS or weights:
            yield layout.stage_file(folder.name, name), _verified(folder, name, result)
    for name in (layout.STAGE, layout.RESULT):
        yield layout.stage_file(folder.name, name), _of_folder(folder, name)


def _splits(study: Study) -> Iterator[File]:
    for name in study.storage.names(layout.SPLITS):
        plain_name(name)
        yield f"{layout.SPLITS}/{name}", _reader(study.storage, f"{layout.SPLITS}/{name}")


def _reader(storage: Storage, name: str, instead: tuple[str, str] = ("", "")) -> Callable[[], bytes]:
    old, new = (text.encode() for text in instead)
    return lambda: storage.read(name).replace(old, new) if old else storage.read(name)


def _of_folder(folder: StageFolder, name: str) -> Callable[[], bytes]:
    return lambda: folder.files.read(name)


def _verified(folder: StageFolder, name: str, result: dict[str, Any]) -> Callable[[], bytes]:
    def read() -> bytes:
        try:
            return folder.read_verified(name, result)
        except ValueError as error:
            raise UserError(f"{one_line(error)}. Nothing that was changed is packed: run the stage again") from error

    return read


def _environment(collected: Collected) -> dict[str, dict[str, int]]:
    """Return setting -> value -> number of cells."""
    return {one.name: dict(one.values) for one in study_summary.environment(collected) if one.name != "process"}


def _readme(collected: Collected, weights: str) -> str:
    lacking = "".join(f"- {out.name}: {out.reason}\n" for out in collected.left_out)
    return README.format(
        name=collected.header.name,
        target=collected.plan.target,
        cells=len(collected.cells),
        planned=len(collected.plan.cells),
        weights=WHOSE[weights],
        fingerprint=collected.header.fingerprint,
        missing=f"\nCells that do not count:\n\n{lacking}" if lacking else "",
    )


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()

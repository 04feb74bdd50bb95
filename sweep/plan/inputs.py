"""The inputs of a grid, data sets and files of weights: found, prepared and fingerprinted, or reported as missing."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sweep.cost.work import packed_bytes, stage_work, train_images
from sweep.grid.grid import Grid, published
from sweep.grid.schema import GridFile
from sweep.plan.begun_study import BegunStudy
from trainables.data.packing.prepare import Packed, Progress, prepare
from trainables.data.readers.data_spec import DataSpec
from trainables.data.splits.cache import cached_split, shared_with
from trainables.data.splits.splits import Split, cross_validation, train_val_split
from trainables.errors import UserError
from trainables.hashing import file_sha256
from trainables.models.weights_file import WeightsSummary
from trainables.specs import ModelSpec, Stage


@dataclass(frozen=True)
class WeightsFile:
    """A file of initial weights.

    Attributes:
        path: where it is.
        sha256: its digest (hex).
        holds: what is in it; None until it was looked at.
    """

    path: Path
    sha256: str
    holds: WeightsSummary | None = None


@dataclass
class Inputs:
    """What is at hand, and what is not.

    Attributes:
        data: prepared data sets by name, as far as they could be divided.
        prepared: the same, and those that could not.
        splits: the split of each data set that is at hand.
        weights: files of weights by (start, architecture).
        missing: one message for each thing that is absent or unusable.
        repaired: one message for each prepared data set that was damaged and is prepared again.
    """

    data: dict[str, Packed] = field(default_factory=dict)
    prepared: dict[str, Packed] = field(default_factory=dict)
    splits: dict[str, Split] = field(default_factory=dict)
    weights: dict[tuple[str, str], WeightsFile] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    repaired: list[str] = field(default_factory=list)

    def costs(self, stages: Iterable[Stage], file: GridFile) -> dict[str, float]:
        """Return the work of stages: key (or name, while the key is unknown) -> GFLOP.

        Args:
            stages: of a plan.
            file: the grid, for data sets that are not at hand: their published sizes count, where there are any.
        """
        images = train_images(file, self.splits)
        return {stage.key or stage.name: stage_work(stage, images) for stage in stages}

    def packed_bytes(self, specs: Mapping[str, DataSpec]) -> int | None:
        """Return the bytes of the packed images of data sets; None if the size of one is not known.

        Args:
            specs: of the data sets, by name. Where one is not at hand its published size counts, if there is one.
        """
        sizes = [
            self.data[name].packed_bytes if name in self.data else packed_bytes(spec) for name, spec in specs.items()
        ]
        return None if None in sizes else sum(filter(None, sizes))

    def contents(self) -> dict[str, dict[str, Any]]:
        """Return name of a data set -> its images, images of each class, and notes on what was skipped or changed."""
        return {
            name: {
                "images": len(data.labels),
                "classes": dict(zip(data.classes, data.class_counts, strict=True)),
                "notes": list(data.notes),
                "problems": len(data.problems),
            }
            for name, data in self.prepared.items()
        }

    def fingerprint(self, name: str) -> str | None:
        """Return the fingerprint of a data set; None if it is not at hand."""
        return self.prepared[name].fingerprint if name in self.prepared else None

    @property
    def problems(self) -> list[dict[str, str]]:
        """Rows of ``data_problems.parquet`` (data_set, image_id, what): faults of images, notes on data and splits."""
        found = [{"data_set": name, **problem} for name, data in self.data.items() for problem in data.problems]
        said = [(name, note) for name, data in self.data.items() for note in data.notes]
        notes = [*said, *((name, note) for name, split in self.splits.items() for note in split.notes)]
        return [*found, *({"data_set": name, "image_id": "", "what": note} for name, note in notes)]


def gather(
    grid: Grid,
    data_root: Path,
    weights_root: Path | None,
    cache: Path,
    progress: Progress | None = None,
    begun: BegunStudy | None = None,
) -> Inputs:
    """Look for everything a grid needs; prepare the data sets that are there.

    Args:
        grid: what is to be done.
        data_root: folder of the data sets.
        weights_root: folder of files of weights, or None.
        cache: folder for prepared data, splits and digests.
        progress: called with (data set, images done, images in all).
        begun: the study, if it was begun: its splits are read from it, never drawn again.

    Returns:
        What was found; what was not is in ``missing``.
    """
    inputs = Inputs()
    for name, spec in grid.data_specs.items():
        try:
            data = prepare(name, spec, data_root, cache / "data", progress)
            inputs.prepared[name] = data
            inputs.splits[name] = _split(name, spec, inputs, grid, cache, begun)
            inputs.data[name] = data
            if data.repaired:
                inputs.repaired.append(
                    f"data set {name} was damaged, and is prepared again: {'; '.join(data.repaired)}"
                )
        except UserError as error:
            inputs.missing += [
                fault if f"data set {name}" in fault else f"data set {name}: {fault}" for fault in error.faults
            ]
    digests = _Digests(cache / "digests.json")
    for start, architecture in grid.weights:
        source, model = grid.weights_source(start, architecture), grid.models[architecture]
        places, obtain = _places(source.file, source.version, model, weights_root)
        found = next((place for place in places if place.is_file()), None)
        if found is None and grid.rehearsal:
            continue  # a random stand-in takes its place
        if found is None:
            looked = ", ".join(str(place) for place in places)
            inputs.missing.append(f"weights {start} of {architecture}: looked for {looked}. {obtain}")
        else:
            inputs.weights[start, architecture] = WeightsFile(found, digests.of(found))
    return inputs


def _split(name: str, spec: DataSpec, inputs: Inputs, grid: Grid, cache: Path, begun: BegunStudy | None) -> Split:
    """Return the split of a data set: that of the begun study, or one drawn now."""
    how, target, data, folder = grid.file.split, grid.file.target, inputs.prepared[name], cache / "splits"
    if name == target and spec.exclude_target:
        raise UserError("exclude_target is for pre-training sets; this is the target itself. Take it out")
    without: tuple[str, ...] = ()
    if name != target:
        without = _shared_with_target(name, spec, inputs.prepared.get(target), data, cache)

    def draw() -> Split:
        return cross_validation(name, data, how) if name == target else train_val_split(data, how, without)

    kept = begun.digest(name, spec, data, how) if begun is not None else None
    if begun is not None and kept is not None:
        return cached_split(f"kept {kept}", data, how, folder, lambda: begun.read(name, str(kept)) or draw())
    return cached_split("folds" if name == target else "single", data, how, folder, draw, without)


def _shared_with_target(name: str, spec: DataSpec, target: Packed | None, data: Packed, cache: Path) -> tuple[str, ...]:
    """Return the images of a pre-training set that the target has too, which it leaves out.

    Raises:
        UserError: if there are some and it does not leave them out: pre-training would see test images.
    """
    if target is None:
        return ()
    shared = shared_with(data, target, spec.duplicates == "pixels", cache / "copies")
    if shared and not spec.exclude_target:
        raise UserError(
            f"data set {name}: {len(shared)} of its images are also in the target"
            f"{'' if spec.duplicates == 'bytes' else ' (the same pixels, or re-encoded, flipped or turned)'}, the first: "
            f"{shared[0]}. Pre-training would see test images: take them out, or write `exclude_target: true`"
        )
    return shared


def _places(file: str | None, version: str | None, model: ModelSpec, root: Path | None) -> tuple[list[Path], str]:
    """The places where a file of weights is looked for, and how to get it if it is in none."""
    if file is not None:
        folder = root if root is not None else Path("weights")
        return [folder / file], "Give --weights the folder that holds it"
    url = published(model)[str(version)]
    name = url.rpartition("/")[2]
    own = [] if root is None else [root / name, root / f"{model.model.replace('/', '-')}-{version}{Path(name).suffix}"]
    return [*own, *_download_cache(model.model, str(version), name)], f"Get it from {url} and give --weights its folder"


def _download_cache(model: str, version: str, name: str) -> Iterable[Path]:
    if model.startswith("torchvision/"):
        home = os.environ.get("TORCH_HOME", os.path.join(os.environ.get("XDG_CACHE_HOME", "~/.cache"), "torch"))
        return [Path(home).expanduser() / "hub" / "checkpoints" / name]
    hub = Path(
        os.environ.get("HF_HUB_CACHE", os.path.join(os.environ.get("HF_HOME", "~/.cache/huggingface"), "hub"))
    ).expanduser()
    snapshots = hub / f"models--timm--{model.partition('/')[2]}.{version}" / "snapshots"
    return sorted(snapshots.glob(f"*/{name}")) or [snapshots / name]


class _Digests:
    """SHA-256 of files, cached by path, size and time of change: a plan does not read gigabytes each time."""

    def __init__(self, file: Path) -> None:
        self._file = file
        try:
            self._known: dict[str, str] = dict(json.loads(file.read_text(encoding="utf-8")))
        except (OSError, TypeError, ValueError):
            self._known = {}

    def of(self, path: Path) -> str:
        status = path.stat()
        name = f"{path.resolve()}:{status.st_size}:{status.st_mtime_ns}"
        if name not in self._known:
            self._known[name] = file_sha256(path)
            self._save()
        return self._known[name]

    def _save(self) -> None:
        with suppress(OSError):  # without a writable cache the digest is computed again next time
            self._file.parent.mkdir(parents=True, exist_ok=True)
            partial = self._file.with_suffix(f".{os.getpid()}.partial")
            partial.write_text(json.dumps(self._known, indent=1))
            partial.replace(self._file)

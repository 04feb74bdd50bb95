"""Batches ready to train on, images/s: ours, torchvision, WebDataset, LitData, and the limits.

From JPEGs of 250 px to normalised float32 batches of 32 images of 224 px, turned, mirrored, cut out and coloured at
random, on two cores, in the steady state: every contestant has passed once over all images, and each round leaves out
the first batches. The peers do what their documentation says is fastest on one node: two worker processes, batches made
in the workers, JPEG kept as JPEG, and torchvision's transforms (v2), of PIL images.

    torchvision   ImageFolder + DataLoader
    webdataset    16 shards, shuffled, batched in the workers, WebLoader
    litdata       optimize() to JPEG in chunks of 64 MB, StreamingDataset + StreamingDataLoader
    gather        what ours takes out of the packed file, before any change
    memcpy        the same bytes copied from memory to memory
"""

from __future__ import annotations

import functools
import itertools
import shutil
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from support import bench, environments, pictures

BATCH, EDGE, SKIPPED = 32, 224, 16
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def main() -> None:
    """Compare, or be one of those compared."""
    parser = bench.arguments_of(__doc__, rounds=5)
    parser.add_argument("--images", type=int, default=4096, help="how many there are")
    parser.add_argument("--batches", type=int, default=64, help="timed in a round")
    arguments = parser.parse_args()
    if arguments.tiny:
        arguments.images, arguments.batches, arguments.rounds = 640, 2, 1
    if arguments.contestant:
        bench.take_turns(bench.Door(), contestant(arguments))
    else:
        compare(arguments)


def compare(arguments: Any) -> None:
    """Let all take turns and write what came out."""
    source = pictures.folder(arguments.data, arguments.images)
    pictures.packed(source)
    pythons = {"ours": environments.OURS, "gather": environments.OURS, "memcpy": environments.OURS}
    if not arguments.tiny:
        peers = environments.peers()
        pythons = {**pythons, "torchvision": peers, "webdataset": peers, "litdata": peers}
    given = ["--images", str(arguments.images), "--batches", str(arguments.batches)]
    given += ["--data", str(arguments.data)] if arguments.data else []
    taken = bench.contest(__file__, pythons, given, arguments)
    if arguments.tiny:
        return
    loaders = {name: answers for name, answers in taken.items() if name not in ("gather", "memcpy")}
    checked = [bench.same(loaders, name) for name in ("shape", "dtype")]
    # The peers' turning leaves black corners where ours mirrors the image: that alone moves the mean by a quarter.
    checked += [bench.same(loaders, name, 0.4) for name in ("mean", "deviation")]
    better = max(("webdataset", "litdata"), key=lambda name: bench.middle(taken[name]))
    bench.record(
        "batches ready to train on",
        [
            line(taken, "ours", "torchvision", 5, "torchvision ImageFolder + DataLoader"),
            line(taken, "ours", better, 2, f"{better}, the better of WebDataset and LitData"),
            line(taken, "gather", "memcpy", 0.5, "memory copy of the same bytes, one thread"),
        ],
        [
            f"images/s, median and range of {len(taken['ours'])} rounds of {arguments.batches} batches of {BATCH}: "
            + "; ".join(f"{name} {bench.spread(bench.figures(answers))}" for name, answers in taken.items()),
            "the same work: " + ", ".join(checked),
            f"{arguments.images} JPEGs of {pictures.EDGE} px, "
            f"{sum(file.stat().st_size for file in source.rglob('*.jpg')) / arguments.images / 1000:.0f} kB each; "
            "all in the page cache",
        ],
        environments.peer_versions("webdataset", "litdata")
        | {name: environments.version_of(name) for name in ("torchvision", "opencv-python-headless")},
    )


def line(taken: dict[str, list[bench.Answer]], ours: str, theirs: str, target: float, against: str) -> bench.ResultLine:
    """Compare two contestants.

    Args:
        taken: the answers of each contestant, one a round.
        ours: name of the contestant that is ours.
        theirs: name of the one it is compared with.
        target: ratio of images/s that is wanted, ours over theirs.
        against: how the table names the other.
    """
    mine, other = bench.middle(taken[ours]), bench.middle(taken[theirs])
    return bench.ResultLine(f"{mine:,.0f} images/s", against, f"{other:,.0f} images/s", mine / other, target)


def contestant(arguments: Any) -> Any:
    """Return what does a round for the contestant named."""
    source = pictures.folder(arguments.data, arguments.images)
    if arguments.contestant in ("gather", "memcpy"):
        return copies(arguments.contestant, source, arguments.batches)
    batches = iter(MAKERS[arguments.contestant](source))

    def turn(asked: str) -> bench.Answer:
        for _ in range(SKIPPED):  # what lies ready from before
            next(batches)
        count, mean, deviation, shape, dtype = 0, 0.0, 0.0, [], ""
        started = time.perf_counter()
        for images, _labels in itertools.islice(batches, arguments.batches):
            count += len(images)
        seconds = time.perf_counter() - started
        shape, dtype = list(images.shape), str(images.dtype)
        several = [images for images, _ in itertools.islice(batches, 8)]
        mean = float(sum(images.mean() for images in several)) / len(several)
        deviation = float(sum(images.std() for images in several)) / len(several)
        return {"figure": count / seconds, "shape": shape, "dtype": dtype, "mean": mean, "deviation": deviation}

    return turn


def copies(name: str, source: Path, batches: int) -> Any:
    """Return a turn that copies images into newly allocated memory.

    Args:
        name: ``gather``: from the packed file; anything else: from memory.
        source: folder of the JPEGs.
        batches: a quarter of the batches copied in a turn.
    """
    data = pictures.packed(source)
    order = np.random.default_rng(0).permutation(len(data.labels))
    rows = [order[first : first + BATCH] for first in range(0, len(order) - BATCH + 1, BATCH)]
    there = data.gather(order)

    def turn(asked: str) -> bench.Answer:
        started = time.perf_counter()
        for number in range(batches * 4):
            if name == "gather":
                data.gather(rows[number % len(rows)])
            else:
                first = number % len(rows) * BATCH
                there[first : first + BATCH].copy()
        return {"figure": batches * 4 * BATCH / (time.perf_counter() - started)}

    return turn


def ours(source: Path) -> Iterator[Any]:
    """Yield our batches, epoch by epoch."""
    import cv2
    import torch

    from trainables.data.loading.batches import InputSpec, Part, TrainingBatches
    from trainables.specs import Augmentation
    from trainables.training import memory

    torch.set_num_threads(environments.cores())
    cv2.setNumThreads(environments.cores())
    data = pictures.packed(source)
    part = Part(data, np.arange(len(data.labels)))
    input_spec = InputSpec(EDGE, MEAN, STD, torch.device("cpu"))
    memory.keep_for_next_step(input_spec.device)  # as a stage does
    for epoch in itertools.count():
        for batch in TrainingBatches(part, input_spec, Augmentation(), BATCH, 0, 0).epoch(epoch):
            yield batch.images, batch.labels


def transforms() -> Any:
    """Return what the peers do to each image: that of our default that torchvision has.

    As users find it: of PIL images, and the tensor is made last.
    """
    import torch
    from torchvision.transforms import v2

    return v2.Compose(
        [
            v2.RandomRotation(180, interpolation=v2.InterpolationMode.BILINEAR),
            v2.RandomCrop(EDGE),
            v2.RandomHorizontalFlip(),
            v2.RandomVerticalFlip(),
            v2.ColorJitter(0.1, 0.1, 0.1),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(MEAN, STD),
        ]
    )


def torchvision(source: Path) -> Iterator[Any]:
    """Yield batches as torchvision's documentation makes them."""
    from torch.utils.data import DataLoader
    from torchvision.datasets import ImageFolder

    dataset = ImageFolder(str(source), transforms())
    loader = DataLoader(
        dataset, BATCH, shuffle=True, num_workers=environments.cores(), drop_last=True, persistent_workers=True
    )
    return forever(loader)


def webdataset(source: Path) -> Iterator[Any]:
    """Yield batches of WebDataset."""
    import webdataset as wds

    shards = made(source, "webdataset", _write_shards)
    files = sorted(map(str, shards.glob("*.tar")))
    changes = transforms()
    dataset = (
        wds.WebDataset(files, shardshuffle=len(files), resampled=True)
        .shuffle(1000)
        .decode("pilrgb")
        .map(lambda sample: (changes(sample["jpg"]), sample["cls"]))
        .batched(BATCH, partial=False)
    )
    return iter(wds.WebLoader(dataset, num_workers=environments.cores(), batch_size=None))


def litdata(source: Path, batch: int = BATCH) -> Iterator[Any]:
    """Yield batches of LitData.

    Args:
        source: folder of the JPEGs.
        batch: images a batch.
    """
    from litdata import StreamingDataLoader, StreamingDataset

    folder = made(source, "litdata", _write_chunks)
    dataset = StreamingDataset(
        str(folder), shuffle=True, drop_last=True, transform=functools.partial(_changed, transforms())
    )
    loader = StreamingDataLoader(
        dataset, batch_size=batch, num_workers=environments.cores(), drop_last=True, persistent_workers=True
    )
    return forever(loader)


MAKERS = {"ours": ours, "torchvision": torchvision, "webdataset": webdataset, "litdata": litdata}


def _changed(changes: Any, item: dict[str, Any], *_: Any) -> tuple[Any, int]:
    from torchvision.transforms.v2.functional import to_pil_image

    return changes(to_pil_image(item["image"])), item["label"]


def forever(loader: Iterable[Any]) -> Iterator[Any]:
    """Yield epoch after epoch."""
    while True:
        yield from loader


def made(source: Path, kind: str, write: Any) -> Path:
    """Return the folder of a peer's own format, written where it does not exist yet.

    Args:
        source: folder of the JPEGs.
        kind: name of the format.
        write: called with ``source`` and the folder to fill.
    """
    folder = environments.CACHE / kind / source.name
    if not folder.is_dir():
        partial = folder.with_name(f"{folder.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        write(source, partial)
        partial.replace(folder)
    return folder


def _labelled(source: Path) -> list[tuple[Path, int]]:
    classes = sorted(path.name for path in source.iterdir())
    return sorted((file, classes.index(file.parent.name)) for file in source.rglob("*.jpg"))


def _write_shards(source: Path, folder: Path) -> None:
    import webdataset as wds

    files = _labelled(source)
    order = np.random.default_rng(0).permutation(len(files))
    for number, part in enumerate(np.array_split(order, 16)):
        with wds.TarWriter(str(folder / f"{number:02d}.tar")) as writer:
            for i in part.tolist():
                file, label = files[i]
                writer.write({"__key__": file.stem, "jpg": file.read_bytes(), "cls": label})


def _chunk(item: tuple[str, int]) -> dict[str, Any]:
    from PIL import Image

    return {"image": Image.open(item[0]), "label": item[1]}  # an opened JPEG is kept as the JPEG it is


def _write_chunks(source: Path, folder: Path) -> None:
    from litdata import optimize

    files = [(str(file), label) for file, label in _labelled(source)]
    optimize(_chunk, files, output_dir=str(folder), chunk_bytes="64MB", num_workers=environments.cores())


if __name__ == "__main__":
    main()

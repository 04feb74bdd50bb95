"""Images/s of preparing a data set, against decoding alone: JPEGs of 250 px, both cores. And what verifying it costs.

ours         ``prepare``: listed, read, digested, decoded, written, described; each turn anew
unwritten    the same without writing the pixels
pillow, opencv, torchvision, simplejpeg
             read and decoded, nothing else: by as many threads as there are cores, a part of the files each

With ``--verify N`` a set of N such images is prepared, without decoding, and verified as a node does it once in each run;
against an epoch of training on it, by the images/s of a stage's own epochs at 224 px.
"""

from __future__ import annotations

import io
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import training
from support import bench, environments, pictures
from support.workload import NETWORKS, Work

Decode = Callable[[bytes], Any]


def main() -> None:
    """Compare, or be one of those compared."""
    parser = bench.arguments_of(__doc__, rounds=5)
    parser.add_argument("--images", type=int, default=4096, help="how many there are")
    parser.add_argument("--verify", type=int, metavar="N", help="what verifying N images costs, instead")
    parser.add_argument("--network", choices=NETWORKS, default="regnet_y_400mf", help="of the epoch, for --verify")
    asked = parser.parse_args()
    if asked.tiny:
        asked.images, asked.rounds = 256, 1
    if asked.verify:
        verifying(asked)
    elif asked.contestant:
        door = bench.Door()
        files = pictures.folder(asked.data, asked.images)
        turns = {"ours": lambda: ours(files), "unwritten": lambda: ours(files, write=False)}
        decoders = {name: lambda made=made: limit(files, made()) for name, made in DECODERS.items()}
        bench.take_turns(door, {**turns, **decoders}[asked.contestant]())
    else:
        compare(asked)


def ours(folder: Path, write: bool = True) -> Callable[[str], bench.Answer]:
    """Return a turn that prepares the folder where nothing is prepared yet; without writing pixels, if so wanted."""
    from trainables.data.packing import shards
    from trainables.data.packing.prepare import prepare

    if not write:

        def allocate(descriptor: int, content: Any) -> int:
            os.ftruncate(descriptor, len(content))
            return len(content)

        shards._write_uncached = allocate

    def turn(asked: str) -> bench.Answer:
        cache = Path(tempfile.mkdtemp(prefix="preparing-", dir=environments.CACHE))
        try:
            started = time.perf_counter()
            data = prepare("pictures", pictures.specification(folder), folder.parent, cache)
            seconds = time.perf_counter() - started
            images = data.gather(np.arange(0, len(data.labels), 97))
        finally:
            shutil.rmtree(cache)
        mean = {"mean": float(images.mean())} if write else {}
        return {"figure": len(data.labels) / seconds, "images": len(data.labels), **mean}

    return turn


def limit(folder: Path, decode: Decode) -> Callable[[str], bench.Answer]:
    """Return a turn that reads and decodes all files."""
    files = sorted(folder.rglob("*.jpg"))

    def some(first: int) -> list[float]:
        means = []
        for number in range(first, len(files), environments.cores()):
            image = decode(files[number].read_bytes())
            if number % 97 == 0:
                means.append(float(image.mean()))
        return means

    def turn(asked: str) -> bench.Answer:
        started = time.perf_counter()
        with ThreadPoolExecutor(environments.cores()) as pool:
            means = [mean for part in pool.map(some, range(environments.cores())) for mean in part]
        seconds = time.perf_counter() - started
        return {"figure": len(files) / seconds, "images": len(files), "mean": sum(means) / len(means)}

    return turn


def pillow() -> Decode:
    """Return Pillow's decoder, to RGB."""
    from PIL import Image

    return lambda content: np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


def opencv() -> Decode:
    """Return OpenCV's decoder, to RGB."""
    import cv2

    cv2.setNumThreads(1)
    return lambda content: cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB)


def torchvision() -> Decode:
    """Return torchvision's decoder, to RGB."""
    import torch
    from torchvision.io import ImageReadMode, decode_jpeg

    torch.set_num_threads(1)
    return lambda content: decode_jpeg(
        torch.frombuffer(bytearray(content), dtype=torch.uint8), ImageReadMode.RGB
    ).numpy()


def simplejpeg() -> Decode:
    """Return libjpeg-turbo by its own interface."""
    from simplejpeg import decode_jpeg

    return lambda content: decode_jpeg(content, "RGB")


DECODERS = {"pillow": pillow, "opencv": opencv, "torchvision": torchvision, "simplejpeg": simplejpeg}


def verifying(asked: Any) -> None:
    """Measure what verifying a set costs and write what came out."""
    from trainables.data.packing.packed_dataset import load
    from trainables.data.packing.prepare import prepare

    source = pictures.folder(asked.data, 300)
    with tempfile.TemporaryDirectory(prefix="verifying-", dir=environments.CACHE) as cache:
        started = time.perf_counter()
        data = prepare("repeated", repeated(source, asked.verify), source.parent, Path(cache))
        environments.say(f"prepared in {time.perf_counter() - started:.0f} s, {data.packed_bytes / 1e9:.1f} GB")
        whole = [_seconds(load(data.folder, run).verify) for run in range(1, asked.rounds + 1)]
        noted = [_seconds(load(data.folder, asked.rounds).verify) for _ in range(asked.rounds)]
        opened = load(data.folder, asked.rounds)
        looked = _seconds(
            lambda: [opened._pixels._stamp(opened.shards[n % len(opened.shards)]) for n in range(32 * 200)]
        )
    asked.batch, asked.steps, asked.scored, asked.images = 32, 6, 192, 1024
    turn = training.ours(Work.of(asked))
    each = [turn("go") for _ in range(asked.rounds + 1)][1:]
    epoch = asked.verify / bench.middle(each)
    first, middle = whole[0], sorted(whole)[len(whole) // 2]
    bench.record(
        "verifying prepared data",
        [
            bench.ResultLine(
                f"{first:.1f} s, once a node and run",
                f"an epoch of {asked.network}, {asked.verify:,} images",
                f"{epoch:,.0f} s",
                first / epoch,
                0.02,
                at_most=True,
            ),
            bench.ResultLine(
                f"{looked / 200 * 1e3:.2f} ms a batch of 32: is each shard still as it was?",
                f"a step of {asked.network}",
                f"{32 / bench.middle(each) * 1e3:.0f} ms",
                looked / 200 / (32 / bench.middle(each)),
                0.02,
                at_most=True,
            ),
        ],
        [
            f"{len(data.shards)} shards, {data.packed_bytes / 1e9:.1f} GB; first from the disk, then {middle:.1f} s in the middle of "
            f"{len(whole)} ({data.packed_bytes / middle / 1e9:.1f} GB/s); where the note says that all is verified "
            f"{sorted(noted)[len(noted) // 2]:.2f} s, most of it the tables",
        ],
    )


def repeated(source: Path, count: int) -> Any:
    """Return the specification of a set of ``count`` images that need no decoding: those of a folder, each with its number."""
    from typing import Literal

    from trainables.data.readers.base import DataSource, ImageEntry, Listing

    decode = simplejpeg()
    files = sorted(source.rglob("*.jpg"))
    known = [decode(file.read_bytes()) for file in files]

    def image(number: int) -> Any:
        pixels = known[number % len(known)].copy()
        pixels[0, :8, 0] = np.frombuffer(number.to_bytes(8), np.uint8)
        return pixels

    class Repeated(DataSource):
        reader: Literal["repeated"] = "repeated"

        def scan(self, root: Path) -> Listing:
            return Listing([ImageEntry(f"{n:07}", "ab"[n % 2]) for n in range(count)], image)

    return Repeated()


def _seconds(do: Callable[[], object]) -> float:
    started = time.perf_counter()
    do()
    return time.perf_counter() - started


def compare(asked: Any) -> None:
    """Let all take turns and write what came out."""
    pictures.folder(asked.data, asked.images)
    pythons = dict.fromkeys(("ours", "unwritten", *DECODERS), environments.OURS)
    given = ["--images", str(asked.images), *(["--data", str(asked.data)] if asked.data else [])]
    taken = bench.contest(__file__, pythons, given, asked)
    if asked.tiny:
        return
    seen = {name: answers for name, answers in taken.items() if name != "unwritten"}
    checked = [bench.same(taken, "images"), bench.same(seen, "mean", 0.001)]
    best = max(DECODERS, key=lambda name: bench.middle(taken[name]))
    mine, other, unwritten = (bench.middle(taken[name]) for name in ("ours", best, "unwritten"))
    against = f"reading and decoding alone, {best}"
    bench.record(
        "preparing a data set",
        [
            bench.ResultLine(f"{mine:,.0f} images/s", against, f"{other:,.0f} images/s", mine / other, 0.9),
            bench.ResultLine(
                f"{mine:,.0f} images/s", "without writing", f"{unwritten:,.0f} images/s", mine / unwritten, 0.9
            ),
        ],
        [
            f"images/s, median and range of {len(taken['ours'])} rounds over {asked.images} JPEGs of {pictures.EDGE} px: "
            + "; ".join(f"{name} {bench.spread(bench.figures(answers))}" for name, answers in taken.items()),
            "the same work: " + ", ".join(checked),
        ],
        {
            name: environments.version_of(name)
            for name in ("pillow", "torchvision", "opencv-python-headless", "simplejpeg")
        },
    )


if __name__ == "__main__":
    main()

"""Images/s of preparing a data set, against decoding alone: JPEGs of 250 px, both cores.

ours         ``prepare``: listed, read, digested, decoded, written, described; each turn anew
pillow, opencv, torchvision, simplejpeg
             read and decoded, nothing else: by as many threads as there are cores, a part of the files each
"""

from __future__ import annotations

import io
import shutil
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from support import bench, pictures

Decode = Callable[[bytes], Any]


def main() -> None:
    """Compare, or be one of those compared."""
    parser = bench.arguments_of(__doc__, rounds=5)
    parser.add_argument("--images", type=int, default=4096, help="how many there are")
    asked = parser.parse_args()
    if asked.tiny:
        asked.images, asked.rounds = 256, 1
    if asked.contestant:
        door = bench.Door()
        files = pictures.folder(asked.data, asked.images)
        bench.take_turns(
            door, ours(files) if asked.contestant == "ours" else limit(files, DECODERS[asked.contestant]())
        )
    else:
        compare(asked)


def ours(folder: Path) -> Callable[[str], bench.Answer]:
    """Return a turn that prepares the folder where nothing is prepared yet."""
    from trainables.data.packing.prepare import prepare

    def turn(asked: str) -> bench.Answer:
        cache = Path(tempfile.mkdtemp(prefix="preparing-", dir=bench.CACHE))
        try:
            started = time.perf_counter()
            data = prepare("pictures", pictures.specification(folder), folder.parent, cache)
            seconds = time.perf_counter() - started
            images = data.gather(np.arange(0, len(data.labels), 97))
        finally:
            shutil.rmtree(cache)
        return {"figure": len(data.labels) / seconds, "images": len(data.labels), "mean": float(images.mean())}

    return turn


def limit(folder: Path, decode: Decode) -> Callable[[str], bench.Answer]:
    """Return a turn that reads and decodes all files."""
    files = sorted(folder.rglob("*.jpg"))

    def some(first: int) -> list[float]:
        means = []
        for number in range(first, len(files), bench.cores()):
            image = decode(files[number].read_bytes())
            if number % 97 == 0:
                means.append(float(image.mean()))
        return means

    def turn(asked: str) -> bench.Answer:
        started = time.perf_counter()
        with ThreadPoolExecutor(bench.cores()) as pool:
            means = [mean for part in pool.map(some, range(bench.cores())) for mean in part]
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


def compare(asked: Any) -> None:
    """Let all take turns and write what came out."""
    pictures.folder(asked.data, asked.images)
    pythons = dict.fromkeys(("ours", *DECODERS), bench.OURS)
    given = ["--images", str(asked.images), *(["--data", str(asked.data)] if asked.data else [])]
    taken = bench.contest(__file__, pythons, given, asked)
    if asked.tiny:
        return
    checked = [bench.same(taken, "images"), bench.same(taken, "mean", 0.001)]
    best = max(DECODERS, key=lambda name: bench.middle(taken[name]))
    mine, other = bench.middle(taken["ours"]), bench.middle(taken[best])
    against = f"reading and decoding alone, {best}"
    bench.record(
        "preparing a data set",
        [bench.ResultLine(f"{mine:,.0f} images/s", against, f"{other:,.0f} images/s", mine / other, 0.9)],
        [
            f"images/s, median and range of {len(taken['ours'])} rounds over {asked.images} JPEGs of {pictures.EDGE} px: "
            + "; ".join(f"{name} {bench.spread(bench.figures(answers))}" for name, answers in taken.items()),
            "the same work: " + ", ".join(checked),
        ],
        {name: bench.version_of(name) for name in ("pillow", "torchvision", "opencv-python-headless", "simplejpeg")},
    )


if __name__ == "__main__":
    main()

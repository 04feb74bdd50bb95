"""What a preparation has done so far, so that one that was killed is gone on with.

One line a record batch, written after the batch. A line that is torn, or whose batch is not in the file as it
was written, is not used, nor is anything behind it. Checksums are what makes this safe where the machine itself
was lost: waiting for the disk after each batch would cost a third of the speed.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

import PIL
import pyarrow as pa
import simplejpeg

from trainables.data.packing import arrow_images
from trainables.data.packing.arrow_images import Kept


@dataclass
class Journal:
    """The journal of one preparation.

    Attributes:
        outcomes: of the images done, in the listing's order.
        kept: what the file of images holds of them.
    """

    file: Path
    outcomes: list[str]
    kept: Kept

    def __post_init__(self) -> None:
        self._written = len(self.outcomes)

    @classmethod
    def open(cls, file: Path, images: Path, version: int) -> Journal:
        """Read the journal beside a file of images, as far as it is good; begin a new one where there is none."""
        header = {
            "version": version,
            "batch": arrow_images.BATCH_ROWS,
            "pillow": PIL.__version__,
            "simplejpeg": simplejpeg.__version__,
            "pyarrow": pa.__version__,
        }
        lines = _lines(file)
        known = lines[1:] if lines[:1] == [header] else []
        good = list(takewhile(lambda line: Kept(**line["kept"]).is_in(images), known))
        outcomes = [outcome for line in good for outcome in line["outcomes"]]
        file.write_text("".join(map(_line, [header, *good])), encoding="utf-8")
        return cls(file, outcomes, Kept(**good[-1]["kept"]) if good else Kept())

    def add(self, outcome: str) -> None:
        """Remember how one more image came out."""
        self.outcomes.append(outcome)

    def commit(self, kept: Kept) -> None:
        """Write down that all images so far are done, the good ones kept."""
        with self.file.open("a", encoding="utf-8") as stream:
            stream.write(_line({"outcomes": self.outcomes[self._written :], "kept": asdict(kept)}))
        self._written, self.kept = len(self.outcomes), kept


def _line(content: dict[str, Any]) -> str:
    return json.dumps(content) + "\n"


def _lines(file: Path) -> list[dict[str, Any]]:
    """Return the lines that are whole."""
    try:
        text = file.read_bytes()
    except OSError:
        return []
    lines = []
    for line in text.split(b"\n")[:-1]:
        try:
            lines.append(dict(json.loads(line)))
        except ValueError:
            break
    return lines

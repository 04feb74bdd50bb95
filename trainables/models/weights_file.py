"""A file of weights, looked at without torch: what it is, and the names and shapes of its tensors where it says them."""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from trainables.errors import UserError

Format = Literal["safetensors", "torch"]
MAX_HEADER = 100_000_000
"""Bytes of the longest header that safetensors reads."""
WRAPPERS = ("module.", "_orig_mod.")
"""Put before every name by DataParallel, DDP and averaged models, and by ``torch.compile``."""
COUNTERS = frozenset({"n_averaged"})
"""Beside the weights in the state dict of an averaged model."""
AVERAGED = re.compile(r"(?:^|_)ema(?:_|$)")
"""In the name of an averaged set of weights."""


class WeightsSummary(NamedTuple):
    """What a file of weights holds.

    Attributes:
        tensors: how many.
        numbers: in all of them.
        notes: what is taken off or chosen when it is read.
    """

    tensors: int
    numbers: int
    notes: tuple[str, ...] = ()

    def text(self) -> str:
        """Return it as a plan shows it."""
        notes = "".join(f"; {note}" for note in self.notes)
        return f"{self.tensors} tensors, {self.numbers / 1e6:,.1f} M numbers{notes}"


def format_of(file: Path) -> Format:
    """Return the format of a file of weights, by its content.

    Raises:
        UserError: if it is something else; what it is, as far as that can be told.
    """
    try:
        with file.open("rb") as stream:
            begin = stream.read(1024)
    except OSError as error:
        raise UserError(f"{file} cannot be read as weights: {error}") from error
    if begin.startswith(b"PK\x03\x04") or re.match(rb"\x80[\x02-\x05]", begin):
        return "torch"
    if len(begin) > 8 and begin[8:9] == b"{":
        return "safetensors"
    raise UserError(f"{file} is {_something_else(begin)}")


def _something_else(begin: bytes) -> str:
    text = begin.decode("utf-8", "replace").lstrip("\ufeff \t\r\n")
    if text.startswith("version https://git-lfs"):
        return (
            "a Git LFS pointer, not the weights: a text of some lines that stands for them. `git lfs pull`, in the "
            "repository it is from, gets them"
        )
    if re.match(r"<(!doctype|html|head|\?xml|!--)", text, re.IGNORECASE):
        title = re.search(r"<title>\s*(.*?)\s*</title>", text, re.IGNORECASE | re.DOTALL)
        said = f" ({title[1][:80]!r})" if title else ""
        return f"an HTML page{said}, not weights: a download got a page in their place. Get the file again"
    kinds = (
        (b"\x89HDF", "an HDF5 file, as Keras writes: only weights of PyTorch are read"),
        (b"GGUF", "a GGUF file: only weights of PyTorch are read"),
        (b"\x1f\x8b", "compressed with gzip: unpack it first"),
        (b"{", "JSON text, not weights: an index or a configuration of them"),
        (b"[", "JSON text, not weights"),
    )
    for start, what in kinds:
        if begin.startswith(start):
            return what
    return (
        "neither a safetensors file nor one that torch saved; it begins with " + repr(begin[:16]) if begin else "empty"
    )


def safetensors_shapes(file: Path) -> dict[str, tuple[int, ...]]:
    """Return name -> shape of the tensors of a safetensors file, from its header.

    Raises:
        UserError: if the header is damaged or the file is cut short.
    """
    size = file.stat().st_size
    with file.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        if length > min(MAX_HEADER, size - 8):
            raise UserError(
                f"{file} is no whole safetensors file: its header has {length:,} bytes, the file {size:,}. Get it again"
            )
        header = stream.read(length)
    try:
        entries = {name: entry for name, entry in json.loads(header).items() if name != "__metadata__"}
        shapes = {name: tuple(int(edge) for edge in entry["shape"]) for name, entry in entries.items()}
        end = max((int(entry["data_offsets"][1]) for entry in entries.values()), default=0)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError) as error:
        raise UserError(f"{file} is no safetensors file: its header cannot be read ({error}). Get it again") from error
    if 8 + length + end != size:
        raise UserError(
            f"{file} should have {8 + length + end:,} bytes, by its header, and has {size:,}: it was cut short, or "
            "something was added. Get it again"
        )
    return shapes


def summary(shapes: Mapping[str, Sequence[int]], notes: Iterable[str] = ()) -> WeightsSummary:
    """Return what tensors amount to, and a note on a wrapper around their names.

    Args:
        shapes: name -> shape.
        notes: on how they were found.
    """
    told = list(notes)
    if (prefix := wrapper(shapes)) and prefix.split(".")[0] + "." in WRAPPERS:
        told.append(f"every name begins with {prefix}, which is taken off")
    return WeightsSummary(len(shapes), sum(math.prod(shape) for shape in shapes.values()), tuple(told))


def wrapper(names: Iterable[str]) -> str:
    """Return what all names begin with, up to a dot: ``module.``, ``model._orig_mod.``; empty if nothing.

    Args:
        names: of tensors; the counter of an averaged model does not count.
    """
    paths = [name.split(".")[:-1] for name in names if name not in COUNTERS]
    shared: list[str] = []
    for parts in zip(*paths, strict=False):
        if len(set(parts)) > 1:
            break
        shared.append(parts[0])
    return "".join(f"{part}." for part in shared)


def unwrapped_names(names: Iterable[str], own: Iterable[str]) -> dict[str, str]:
    """Return the network's own names for the names in a file: what wrappers put before them is taken off.

    As much is taken off as it needs for all own names to be there; if they never are, only wrappers of ``WRAPPERS``.

    Args:
        names: in the file.
        own: of the network, without its head.

    Returns:
        name in the file -> name of the network.
    """
    given, wanted = list(names), set(own)
    prefix = wrapper(given)
    begin = fallback = ""
    for part in ["", *(f"{part}." for part in prefix.split(".")[:-1])]:
        begin += part
        stripped = _without(given, begin)
        if wanted <= set(stripped.values()):
            return stripped
        if part in WRAPPERS and fallback == begin.removesuffix(part):
            fallback = begin
    return _without(given, fallback)


def _without(names: Iterable[str], prefix: str) -> dict[str, str]:
    """Return name -> name without a prefix; with a prefix, a name that has none is a counter and left out."""
    return {name: name.removeprefix(prefix) for name in names if name.startswith(prefix)}


def chosen_set(sets: Mapping[str, object]) -> tuple[str, tuple[str, ...]]:
    """Return which of several sets of weights in a file is read: the averaged one, as timm does.

    Args:
        sets: by the name in the file.

    Returns:
        Its name, and notes on the choice.

    Raises:
        UserError: if the names do not tell.
    """
    averaged = [name for name in sets if AVERAGED.search(name.lower())]
    others = [name for name in sets if name not in averaged]
    if len(averaged) == 1:
        beside = f", not those in {', '.join(others)}" if others else ""
        return averaged[0], (f"the averaged (EMA) weights in {averaged[0]} are taken{beside}",)
    if len(others) == 1 and not averaged:
        return others[0], (f"the weights are those in {others[0]}",)
    raise UserError(f"holds several sets of weights ({', '.join(sets)}): save the one that is meant by itself")

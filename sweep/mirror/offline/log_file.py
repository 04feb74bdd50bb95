"""Reading back W&B's own log of an offline run: which epochs are in it, and whether it was ended.

The format is LevelDB's log framing around protocol buffers of the client (no documented interface; the client's
``wandb leet inspect`` reads it too, in a process of its own that takes a second). A test holds this reader to it.
"""

from __future__ import annotations

import importlib
import json
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MAGIC = b":W&B" + struct.pack("<HB", 0xBEE1, 0)
BLOCK, HEAD = 32768, 7
FULL, FIRST, LAST = 1, 2, 4


def records(file: Path) -> Iterator[Any]:
    """Yield the records of a log up to where its writer was killed.

    Raises:
        ValueError: if it is no such log, or is damaged.
    """
    record = importlib.import_module("wandb.proto.wandb_internal_pb2").Record
    for payload in _payloads(file.read_bytes()):
        yield record.FromString(payload)


def _payloads(content: bytes) -> Iterator[bytes]:
    if content[:HEAD] != MAGIC:
        raise ValueError("no log of W&B's, or of another version")
    at, whole = HEAD, b""
    while at + HEAD <= len(content):
        left = BLOCK - at % BLOCK
        if left < HEAD:  # a block ends in zeros
            at += left
            continue
        checksum, length, kind = struct.unpack("<IHB", content[at : at + HEAD])
        piece = content[at + HEAD : at + HEAD + length]
        if len(piece) < length or (kind == 0 and length == 0):
            return
        if zlib.crc32(piece, zlib.crc32(bytes([kind]))) != checksum:
            raise ValueError(f"damaged at byte {at}")
        at += HEAD + length
        whole = piece if kind in (FULL, FIRST) else whole + piece
        if kind in (FULL, LAST):
            yield whole


def items(entries: Any) -> dict[str, Any]:
    """Return the items of a record: dotted name -> value."""
    return {".".join(item.nested_key) or item.key: json.loads(item.value_json) for item in entries}


def epochs_in(logs: list[Path]) -> tuple[set[int], bool]:
    """Return the epochs that the logs of a run hold, and whether the last log was ended.

    A log that cannot be read holds none.
    """
    found: set[int] = set()
    ended = False
    for log in logs:
        ended = False
        try:
            for record in records(log):
                kind = record.WhichOneof("record_type")
                if kind == "history" and "epoch" in (row := items(record.history.item)):
                    found.add(int(row["epoch"]))
                ended = ended or kind == "exit"
        except (OSError, ValueError):
            ended = False
    return found, ended

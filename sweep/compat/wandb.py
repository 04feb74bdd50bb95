"""Weights & Biases: private parts of its client that ``sweep`` relies on, each behind one function or constant.

All of them work with wandb ``TESTED[0]`` to ``TESTED[1]`` and wandb-workspaces ``TESTED_WORKSPACES[0]`` to
``TESTED_WORKSPACES[1]``. The client is imported within the functions: it takes a second.
"""

from __future__ import annotations

import importlib
import json
import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

TESTED = ("0.31.0", "0.31.0")
"""Lowest and highest version of wandb that was tested; the lowest is the bound in pyproject.toml."""
TESTED_WORKSPACES = ("0.4.13", "0.4.13")
"""The same of wandb-workspaces."""

CLIENT_PROCESS = "wandb-core"
"""Name of the client's process. Without it a client that hangs is not ended, and holds on to the run of a stage."""
LEAN_SETTINGS: dict[str, Any] = {
    "x_disable_machine_info": True,
    "x_disable_meta": True,
    "x_disable_stats": True,
    "x_save_requirements": False,
    "x_transaction_log_flush_interval": 1.0,  # seconds; by default 15, which a killed process loses
}
"""Experimental settings of a run (``x_`` marks them as such): nothing about the machine is sent, and an offline log is
written every second. Without them a run starts later, and says more of the machine than the study does."""

_MAGIC = b":W&B" + struct.pack("<HB", 0xBEE1, 0)
_BLOCK, _HEADER = 32768, 7
_FULL, _FIRST, _LAST = 1, 2, 4


def stop_status_checker(run: Any) -> None:
    """End the thread of a run that polls the client's process every few seconds.

    Without it the thread of a run whose process was ended fails with a traceback on the terminal.

    Args:
        run: of ``wandb.init``; one that was not fully started has no such thread.
    """
    with suppress(Exception):
        run._run_status_checker.stop()
        run._run_status_checker._network_status_thread.join(1)


def view_identity(view: Any) -> tuple[str, str]:
    """Return name and id of a saved workspace view, by which it is found again."""
    return view._internal_name, view._internal_id


def set_view_identity(view: Any, name: str, view_id: str) -> None:
    """Make a workspace view that was built here replace a saved one.

    The library offers that only for a view that it has read back from the server. Without this every ``sweep.wandb view``
    adds one more view to the project.

    Args:
        view: a ``wandb_workspaces.workspaces.Workspace`` that is not saved yet.
        name: as ``view_identity`` returned it.
        view_id: as ``view_identity`` returned it.
    """
    view._internal_name, view._internal_id = name, view_id


def log_records(file: Path) -> Iterator[Any]:
    """Yield the records of the log of an offline run, up to where its writer was killed.

    The format is LevelDB's log framing around protocol buffers. The client's own reader, ``wandb leet inspect``, is a process
    that takes a second. Without this the epochs that an earlier attempt logged are not known and would be logged twice.

    Args:
        file: ``run-<id>.wandb``.

    Raises:
        ValueError: if it is no such log, or is damaged.
    """
    record = importlib.import_module("wandb.proto.wandb_internal_pb2").Record
    for payload in _payloads(file.read_bytes()):
        yield record.FromString(payload)


def log_items(entries: Any) -> dict[str, Any]:
    """Return the items of a history or summary record: dotted name -> value."""
    return {".".join(item.nested_key) or item.key: json.loads(item.value_json) for item in entries}


def _payloads(content: bytes) -> Iterator[bytes]:
    if content[:_HEADER] != _MAGIC:
        raise ValueError("no log of W&B's, or of another version")
    at, whole = _HEADER, b""
    while at + _HEADER <= len(content):
        left = _BLOCK - at % _BLOCK
        if left < _HEADER:  # a block ends in zeros
            at += left
            continue
        checksum, length, kind = struct.unpack("<IHB", content[at : at + _HEADER])
        piece = content[at + _HEADER : at + _HEADER + length]
        if len(piece) < length or (kind == 0 and length == 0):
            return
        if zlib.crc32(piece, zlib.crc32(bytes([kind]))) != checksum:
            raise ValueError(f"damaged at byte {at}")
        at += _HEADER + length
        whole = piece if kind in (_FULL, _FIRST) else whole + piece
        if kind in (_FULL, _LAST):
            yield whole

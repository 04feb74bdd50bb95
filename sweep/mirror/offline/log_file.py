"""What the logs of an offline W&B run hold: which epochs, and whether the run was finished."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sweep.compat.wandb import log_items, log_records


def epochs_in(logs: Sequence[Path]) -> tuple[set[int], bool]:
    """Return the epochs that the logs of a run hold, and whether the last log was finished.

    Args:
        logs: of one run, the oldest first. One that cannot be read counts as empty.
    """
    found: set[int] = set()
    finished = False
    for log in logs:
        finished = False
        try:
            for record in log_records(log):
                kind = record.WhichOneof("record_type")
                if kind == "history" and "epoch" in (row := log_items(record.history.item)):
                    found.add(int(row["epoch"]))
                finished = finished or kind == "exit"
        except (OSError, ValueError):
            finished = False
    return found, finished

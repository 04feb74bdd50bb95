"""The next batch, made while the step runs: by a thread, one ahead, in the same order.

Tested with a CPU as the device; never run on a GPU by us.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

T = TypeVar("T")

AHEAD_ON = frozenset({"cuda"})
"""Kinds of device that gain by it. A CPU is busy with the step itself: tried on two cores, nothing was quicker."""


@contextmanager
def prefetch(items: Iterator[T], device: torch.device) -> Iterator[Iterator[T]]:
    """Within, a thread makes the next item while the present one is used, if the device gains by it.

    What ``items`` raises is raised where the item is asked for. However the block is left, the thread has ended then:
    an item under way is waited for.

    Args:
        items: what is to be made; none may be None.
        device: that uses them.
    """
    if device.type not in AHEAD_ON:
        yield items
        return
    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as thread:
        yield _taken(items, thread)


def _taken(items: Iterator[T], thread: ThreadPoolExecutor) -> Iterator[T]:
    coming = thread.submit(next, items, None)
    while (item := coming.result()) is not None:
        coming = thread.submit(next, items, None)
        yield item

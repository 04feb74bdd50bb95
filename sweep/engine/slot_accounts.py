"""Which stages hold which slots of the cluster, and for how long. A slot is the place of one worker."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection


class SlotAccounts:
    """The slots of the stages that were dispatched and have not ended.

    Attributes:
        dispatched: key of a stage -> its number of workers.
        held: key of a dispatched stage -> the slots it holds: one per worker, more if it needs their memory.
        running: the part of ``dispatched`` whose workers have their place. Others wait for theirs.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.dispatched: dict[str, int] = {}
        self.held: dict[str, int] = {}
        self.running: dict[str, int] = {}
        self._clock = clock
        self._seconds, self._counted_until = 0.0, clock()

    def dispatch(self, key: str, workers: int, slots_per_worker: int) -> None:
        """Record that a stage was handed to the backend.

        Args:
            key: of the stage.
            workers: its number of workers.
            slots_per_worker: slots that each of them holds.
        """
        self.dispatched[key], self.held[key] = workers, workers * slots_per_worker

    def start(self, key: str, workers: int) -> None:
        """Record that the workers of a stage have their place.

        Args:
            key: of the stage.
            workers: its number of workers.
        """
        self.worker_seconds()
        self.running[key] = workers

    def release(self, key: str) -> None:
        """Record that an attempt ended."""
        self.worker_seconds()
        for account in (self.dispatched, self.held, self.running):
            account.pop(key, None)

    @property
    def busy(self) -> int:
        """Slots of the running stages, including those kept free beside one for its memory."""
        return sum(self.held.get(key, workers) for key, workers in self.running.items())

    def worker_seconds(self) -> float:
        """Return the time, summed over slots, for which stages have held them, in seconds."""
        now = self._clock()
        self._seconds += (now - self._counted_until) * self.busy
        self._counted_until = now
        return self._seconds

    def free(self, slots: int, headroom: int, progressing: Collection[str]) -> int:
        """Return how many slots the next stage may take.

        One stage of one worker is dispatched beyond the slots, so that the next trial process is warm. (Tune ends a process
        that idles in the place of a stage of several workers as soon as it gets that stage.) If the cluster may grow, one
        more is dispatched for each worker that may come: pending trials are what an autoscaler sees, and they vanish with
        the driver, however it ends. But none while a stage of several workers waits for its place, which it could take.

        Args:
            slots: of the cluster now.
            headroom: slots that an autoscaler may add.
            progressing: keys of the stages that have sent a heartbeat; they have their place.
        """
        free = slots - sum(self.held.values())
        if free > 0:
            return free
        waiting = [
            key for key, workers in self.dispatched.items() if workers > 1 and not (headroom and key in progressing)
        ]
        return int(not waiting and -free <= headroom)

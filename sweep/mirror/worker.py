"""The mirror of a trial process: stages put events into a queue, a thread of its own tells the client.

The thread alone ever touches the client, which may raise, hang for minutes, or lose its process; a stage
waits for none of it. What is lost on the way stands in the study folder: a stage's end fills it in,
or ``python -m sweep.wandb sync`` does.
"""

from __future__ import annotations

import logging
import queue
import random
import tempfile
import threading
import time
from collections.abc import Callable
from typing import Any

from sweep.mirror.settings import MirrorSettings
from trainables.runtime import RuntimeContext
from trainables.specs import Stage
from trainables.store.node_inputs import expected_data_folder
from trainables.store.storage import Storage
from trainables.store.study import Study

QUEUE = 4096
"""Where so many events wait, an epoch is dropped: the end of its stage fills it in. Begin and end never are."""
OFFLINE_SECONDS = 300.0
"""After the server failed, runs are kept offline for so long before it is tried again."""
Event = Callable[[], None]
_log = logging.getLogger("sweep.mirror")


class Mirror:
    """What a trial process tells W&B. No method raises, and none but ``close`` waits."""

    def __init__(self) -> None:
        """Begin with nothing told, and no thread."""
        self._events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._telling = False
        self._teller = _Teller()

    @property
    def stop_asked(self) -> bool:
        """Whether someone stopped the run of the current stage in the dashboard."""
        return self._stop.is_set()

    def begin(self, document: dict[str, Any] | None, study: str, stage: Stage, runtime: RuntimeContext) -> None:
        """Begin with a stage, by the settings of its order; None: nothing is told of it."""
        self.end("stopped")  # of a stage that did not come to an end
        self._stop = threading.Event()
        self._telling = document is not None
        if document is None:
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="wandb mirror", daemon=True)
            self._thread.start()
        stop = self._stop.set
        self._events.put(
            lambda: self._teller.begin(MirrorSettings.from_document(document), study, stage, runtime, stop)
        )

    def epoch(self, shown: dict[str, float]) -> None:
        """Tell of a finished epoch; of a sign of life within one there is nothing to tell."""
        if self._telling and shown and self._events.qsize() < QUEUE:
            self._events.put(lambda: self._teller.epoch(shown))

    def end(self, state: str, failure: str | None = None) -> None:
        """Tell that the attempt is over: ``done``, ``failed``, ``lost`` or ``stopped``."""
        if self._telling:
            self._telling = False
            self._events.put(lambda: self._teller.end(state, failure))

    def close(self, seconds: float) -> bool:
        """Wait for what is still to be told, for so long at most; return whether all was told."""
        if self._thread is None:
            return True
        self._events.put(None)
        self._thread.join(seconds)
        told = not self._thread.is_alive()
        self._thread = None if told else self._thread
        return told

    def _work(self) -> None:
        while (event := self._events.get()) is not None:
            try:
                event()
            except Exception as error:  # noqa: BLE001 - a mirror never fails what it mirrors
                _log.debug("%s", type(error).__name__)  # the class alone: a message may hold anything


class _Teller:
    """The thread's side: at most one run at a time, and what to do when the client fails."""

    def __init__(self) -> None:
        self._session: Any = None
        self._online_from = 0.0
        self._fresh = True
        self._local: tempfile.TemporaryDirectory[str] | None = None

    def begin(
        self, settings: MirrorSettings, study: str, stage: Stage, runtime: RuntimeContext, stop: Callable[[], None]
    ) -> None:
        """Open the run of a stage: online where W&B answers, else offline. ``stop`` is called where it is stopped there."""
        from sweep.mirror.run_session import RunSession

        self._session = None
        opened = Study(Storage(study))
        local = self._folder(opened.storage)
        place = expected_data_folder(runtime, stage.data.name)
        data = None if place is None else str(place)
        if settings.mode == "online" and time.monotonic() >= self._online_from:
            if self._fresh:
                time.sleep(random.uniform(0, settings.stagger_seconds))
                self._fresh = False
            try:
                self._session = RunSession(settings, "online", opened, stage, local, stop, data)
            except Exception as error:  # noqa: BLE001 - refused, 4xx, 5xx, too slow, no key here, a dead client
                self._give_up(error)
            else:
                return
        self._session = RunSession(settings, "offline", opened, stage, local, stop, data)

    def epoch(self, shown: dict[str, float]) -> None:
        if self._session is not None:
            self._session.epoch(shown)

    def end(self, state: str, failure: str | None) -> None:
        session, self._session = self._session, None
        if session is None:
            return
        try:
            session.end(state, failure)
        except Exception as error:
            if session.is_online:
                self._give_up(error)
            raise

    def _give_up(self, error: Exception) -> None:
        from sweep.mirror.client import forget

        _log.debug("offline for a while: %s", type(error).__name__)
        self._online_from = time.monotonic() + OFFLINE_SECONDS
        forget()  # its process holds on to the run, and would refuse it to the next attempt

    def _folder(self, storage: Storage) -> str:
        """The study folder; on an object store, where the client cannot write, a folder of this node."""
        if storage.is_local:
            return storage.location
        if self._local is None:
            self._local = tempfile.TemporaryDirectory(prefix="sweep-wandb-", ignore_cleanup_errors=True)
        return self._local.name

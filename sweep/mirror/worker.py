"""The mirror of a trial process: the stage queues events, and one thread passes them to the W&B client.

Only that thread calls the client, which may raise, block for minutes, or lose its process; the stage never waits for it.
Whatever is lost can be read from the study folder: it is logged when the stage is done, or by ``python -m sweep.wandb sync``.
"""

from __future__ import annotations

import logging
import queue
import random
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from sweep.mirror.settings import MirrorSettings, Mode
from trainables.runtime import RuntimeContext
from trainables.specs import Stage
from trainables.store.node_inputs import expected_data_folder
from trainables.store.storage import Storage
from trainables.store.study import Study

MAX_QUEUED = 4096
"""With so many events queued, epochs are dropped; they are logged at the end of their stage. Begin and end never are."""
OFFLINE_SECONDS = 300.0
"""How long runs are recorded offline after the server failed, before it is tried again."""
Event = Callable[[], None]
_log = logging.getLogger("sweep.mirror")


class Mirror:
    """Reports the stages of a trial process to W&B. No method raises, and only ``close`` waits."""

    def __init__(self) -> None:
        self._events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._active = False
        self._reporter = _Reporter()

    @property
    def stop_requested(self) -> bool:
        """Whether someone stopped the run of the current stage in the dashboard."""
        return self._stop.is_set()

    def begin(self, document: dict[str, Any] | None, study: str, stage: Stage, runtime: RuntimeContext) -> None:
        """Begin an attempt at a stage.

        Args:
            document: of ``MirrorSettings``; None: the stage is not mirrored.
            study: location of the study.
            stage: the stage.
            runtime: says where the stage's data are on this node.
        """
        self.end("stopped")  # of a stage that did not come to an end
        self._stop = threading.Event()
        self._active = document is not None
        if document is None:
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="wandb mirror", daemon=True)
            self._thread.start()
        stop = self._stop.set
        self._events.put(
            lambda: self._reporter.begin(MirrorSettings.from_document(document), study, stage, runtime, stop)
        )

    def epoch(self, shown: dict[str, float]) -> None:
        """Report the metrics of an epoch; empty within an epoch, then nothing is reported."""
        if self._active and shown and self._events.qsize() < MAX_QUEUED:
            self._events.put(lambda: self._reporter.epoch(shown))

    def end(self, state: str, failure: str | None = None) -> None:
        """Report the end of the attempt.

        Args:
            state: ``done``, ``failed``, ``lost`` or ``stopped``.
            failure: class of the exception, if the stage failed.
        """
        if self._active:
            self._active = False
            self._events.put(lambda: self._reporter.end(state, failure))

    def close(self, seconds: float) -> bool:
        """Wait until the queue is empty, at most so many seconds; return whether it is."""
        if self._thread is None:
            return True
        self._events.put(None)
        self._thread.join(seconds)
        finished = not self._thread.is_alive()
        self._thread = None if finished else self._thread
        return finished

    def _work(self) -> None:
        while (event := self._events.get()) is not None:
            try:
                event()
            except Exception as error:  # noqa: BLE001 - the mirror never fails a stage
                _log.debug("%s", type(error).__name__)  # the class alone: a message may hold the key


class _Reporter:
    """What the thread does: at most one run at a time, and a time offline after the client failed."""

    def __init__(self) -> None:
        self._session: Any = None
        self._online_from = 0.0
        self._first_contact = True
        self._temporary: tempfile.TemporaryDirectory[str] | None = None

    def begin(
        self, settings: MirrorSettings, study: str, stage: Stage, runtime: RuntimeContext, stop: Callable[[], None]
    ) -> None:
        """Open the run of a stage: online if W&B answers, else offline.

        Args:
            settings: of the mirror.
            study: location of the study.
            stage: the stage.
            runtime: says where the stage's data are on this node.
            stop: called when someone stops the run in the dashboard.
        """
        from sweep.mirror.run_session import RunSession

        self._session = None
        opened = Study(Storage(study))
        log_root = self._log_root(opened.storage)
        place = expected_data_folder(runtime, stage.data.name)
        data = None if place is None else str(place)

        def open_session(mode: Mode) -> RunSession:
            return RunSession(replace(settings, mode=mode), opened, stage, log_root, stop, data)

        if settings.mode == "online" and time.monotonic() >= self._online_from:
            if self._first_contact:
                time.sleep(random.uniform(0, settings.stagger_seconds))
                self._first_contact = False
            try:
                self._session = open_session("online")
            except Exception as error:  # noqa: BLE001 - refused, 4xx, 5xx, too slow, no key here, a dead client
                self._go_offline(error)
            else:
                return
        self._session = open_session("offline")

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
                self._go_offline(error)
            raise

    def _go_offline(self, error: Exception) -> None:
        from sweep.mirror.client import shut_down

        _log.debug("offline for a while: %s", type(error).__name__)
        self._online_from = time.monotonic() + OFFLINE_SECONDS
        shut_down()  # its process holds the run, and would refuse it to the next attempt

    def _log_root(self, storage: Storage) -> str:
        """The study folder; for an object store, where the client cannot write, a temporary folder of this node."""
        if storage.is_local:
            return storage.location
        if self._temporary is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="sweep-wandb-", ignore_cleanup_errors=True)
        return self._temporary.name

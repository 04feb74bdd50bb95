"""One attempt at a stage as its W&B run sees it. Used by the mirror's own thread only."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from sweep.mirror import plots
from sweep.mirror.client import open_run, shut_down
from sweep.mirror.offline import log_folder
from sweep.mirror.offline.log_file import epochs_in
from sweep.mirror.offline.log_folder import logs_of
from sweep.mirror.run_fields import row_of, rows_of, summary_of, tags_of
from sweep.mirror.run_link import RunLink, link_of, logged_epochs
from sweep.mirror.settings import MirrorSettings
from trainables.specs import Stage
from trainables.store.study import Study

MAX_REOPENED = 2
"""How often a run is opened again after the client's process died."""


class RunSession:
    """The run of a stage, from its opening to its end."""

    def __init__(
        self,
        settings: MirrorSettings,
        study: Study,
        stage: Stage,
        log_root: str,
        stop: Callable[[], None],
        data: str | None = None,
    ) -> None:
        """Start or resume the run.

        Args:
            settings: where the run goes, and whether online or offline.
            study: has the stage.
            stage: the stage to mirror.
            log_root: folder on a local disk or NFS for the client's logs.
            stop: called by another thread when someone stops the run in the dashboard.
            data: folder of the packed target data, for images of misclassified examples; None: none are drawn.

        Raises:
            Exception: whatever the client raises.
        """
        self._settings, self._stage, self._data = settings, stage, data
        self._folder, self._log_root, self._stop = study.folder(stage), Path(log_root), stop
        self._link, self._started_before = link_of(self._folder, settings, str(stage.key))
        self._opened = 0
        self._run: Any = None
        self._logged: list[int] = []
        self._open()

    @property
    def is_online(self) -> bool:
        """Whether the run is sent to a server."""
        return self._settings.mode == "online"

    def epoch(self, shown: dict[str, float]) -> None:
        """Log the metrics of an epoch, unless they are logged already."""
        self._log({int(shown["epoch"]): row_of(shown)})

    def end(self, state: str, failure: str | None = None) -> None:
        """Finish the run. If the stage is done, first log its results and any epoch that is missing.

        Args:
            state: ``done``, ``failed``, ``lost`` or ``stopped``.
            failure: class of the exception, if the stage failed.

        Raises:
            Exception: whatever the client raises; TimeoutError if the server does not take the rest in time.
        """
        result = self._folder.result() if state == "done" else None
        if result is not None:
            self._complete(result)
        else:
            known = {"state": state, "failure": failure}
            self._retry_if_dead(lambda: self._run.summary.update({k: v for k, v in known.items() if v is not None}))
        self._retry_if_dead(lambda: self._run.finish(exit_code=0 if result is not None else 1))
        if not self.is_online:
            log_folder.upload(self._folder.storage, self._log_root, self._link.run)
        elif result is not None:  # the server has everything
            self._update_link(whole=True)
            for folder in self._log_root.glob(f"wandb/run-*-{self._link.run}"):
                shutil.rmtree(folder, ignore_errors=True)

    def _complete(self, result: dict[str, Any]) -> None:
        rows = {} if self._stage.kind == "lr_range" else rows_of(self._folder)
        self._log({epoch: rows[epoch] for epoch in sorted(rows)})
        images = plots.of_stage(self._stage, self._folder, result, self._data if self._settings.images else None)
        self._retry_if_dead(lambda: self._log_result(result, images))

    def _log_result(self, result: dict[str, Any], images: dict[str, Any]) -> None:
        import wandb

        if images and not self._has(images):
            self._run.log({name: wandb.Image(image) for name, image in images.items()})
        rate = result.get("learning_rate")
        if rate is not None and self._stage.learning_rate is None:  # found by a range test
            self._run.config.update({"learning_rate": rate}, allow_val_change=True)
            self._run.tags = tags_of(self._stage.fold, rate)
        self._run.summary.update(summary_of(self._stage, result))

    def _has(self, images: dict[str, Any]) -> bool:
        return self._run.resumed and all(self._run.summary.get(name) is not None for name in images)

    def _log(self, rows: dict[int, dict[str, float]]) -> None:
        """Log the rows of epochs that are not logged yet, in the given order."""

        def log() -> None:
            new = [epoch for epoch in rows if epoch not in self._logged]
            order = [*self._logged, *new]
            if self.is_online and order != logged_epochs(self._link.order, len(order)):
                self._update_link(order=tuple(order))  # before the server has them
            for epoch in new:
                self._run.log(rows[epoch])
                self._logged.append(epoch)

        self._retry_if_dead(log)

    def _retry_if_dead(self, call: Callable[[], Any]) -> None:
        """Call the client. If its process has died, start another, resume the run and call again."""
        while True:
            try:
                call()
            except ConnectionError:
                if self._opened > MAX_REOPENED:
                    raise
                shut_down()
                self._started_before = True
                self._open()
            else:
                return

    def _open(self) -> None:
        self._opened += 1
        before = self._earlier_logs() if self._started_before and not self.is_online else []
        try:
            self._run = self._open_run()
        except Exception as error:
            if "deleted" not in str(error):
                raise
            self._link = self._link.renewed(self._settings, str(self._stage.key))  # W&B never frees the id of a run
            self._run = self._open_run()
        self._logged = self._logged_before(before)
        online = self._link.online or self.is_online
        url = self._run.url if self.is_online else self._link.url
        self._update_link(url=url, sweep=self._settings.sweep, online=online)

    def _open_run(self) -> Any:
        path, root = self._folder.path(), str(self._log_root)
        return open_run(self._settings, root, self._stage, path, self._link, self._stop)

    def _earlier_logs(self) -> list[Path]:
        log_folder.download(self._folder.storage, self._log_root, self._link.run)
        return logs_of(self._log_root, self._link.run)

    def _logged_before(self, logs: list[Path]) -> list[int]:
        """The epochs that the run has: by the server's count of rows, or by its offline logs."""
        if not self.is_online:
            return sorted(epochs_in(logs)[0])
        return logged_epochs(self._link.order, self._run.starting_step)  # one row is one step

    def _update_link(self, **changes: Any) -> None:
        changed: RunLink = replace(self._link, **changes)
        if changed != self._link or not self._started_before:
            self._link, self._started_before = changed, True
            self._link.write(self._folder)

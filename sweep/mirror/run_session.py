"""One attempt at a stage, as its run sees it. Everything here happens in the mirror's own thread."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from sweep.mirror import plots
from sweep.mirror.client import forget, open_run
from sweep.mirror.offline import log_folder
from sweep.mirror.offline.log_file import epochs_in
from sweep.mirror.offline.log_folder import logs_of
from sweep.mirror.run_fields import row_of, rows_of, summary_of, tags_of
from sweep.mirror.run_link import RunLink, epochs_of, link_of
from sweep.mirror.settings import MirrorSettings, Mode
from trainables.specs import Stage
from trainables.store.study import Study

REOPENED = 2
"""So often a run whose client died is opened again."""


class RunSession:
    """The run of a stage, from its opening to its end."""

    def __init__(
        self,
        settings: MirrorSettings,
        mode: Mode,
        study: Study,
        stage: Stage,
        local: str,
        stop: Callable[[], None],
        data: str | None = None,
    ) -> None:
        """Open the run, or go on with it.

        Args:
            settings: of the study.
            mode: online or offline.
            study: where the stage is.
            stage: what is mirrored.
            local: folder for the client's logs on a local disk or NFS.
            stop: called when someone stops the run in the dashboard.
            data: folder of the packed target data, for pictures of them.

        Raises:
            Exception: whatever the client raises.
        """
        self._settings, self._mode, self._stage, self._data = settings, mode, stage, data
        self._folder, self._local, self._stop = study.folder(stage), Path(local), stop
        self._link, self._begun_before = link_of(self._folder, settings, str(stage.key))
        self._opened = 0
        self._run: Any = None
        self._logged: list[int] = []
        self._open()

    @property
    def is_online(self) -> bool:
        """Whether the run is at a server."""
        return self._mode == "online"

    def epoch(self, shown: dict[str, float]) -> None:
        """Log an epoch that is not logged yet."""
        self._log({int(shown["epoch"]): row_of(shown)})

    def end(self, state: str, failure: str | None = None) -> None:
        """Finish the run: of a stage that is done with all that it has, and with any epoch that was lost on the way.

        Raises:
            Exception: whatever the client raises; TimeoutError where the server does not take the rest.
        """
        result = self._folder.result() if state == "done" else None
        if result is not None:
            self._complete(result)
        else:
            known = {"state": state, "failure": failure}
            self._again_if_dead(lambda: self._run.summary.update({k: v for k, v in known.items() if v is not None}))
        self._again_if_dead(lambda: self._run.finish(exit_code=0 if result is not None else 1))
        if not self.is_online:
            log_folder.keep(self._folder.storage, self._local, self._link.run)
        elif result is not None:  # the server has it all
            self._keep(whole=True)
            for folder in self._local.glob(f"wandb/run-*-{self._link.run}"):
                shutil.rmtree(folder, ignore_errors=True)

    def _complete(self, result: dict[str, Any]) -> None:
        rows = {} if self._stage.kind == "lr_range" else rows_of(self._folder)
        self._log({epoch: rows[epoch] for epoch in sorted(rows)})
        shown = plots.of_stage(self._stage, self._folder, result, self._data if self._settings.images else None)
        self._again_if_dead(lambda: self._finale(result, shown))

    def _finale(self, result: dict[str, Any], shown: dict[str, Any]) -> None:
        import wandb

        if shown and not self._has(shown):
            self._run.log({name: wandb.Image(picture) for name, picture in shown.items()})
        rate = result.get("learning_rate")
        if rate is not None and self._stage.learning_rate is None:  # found by a range test
            self._run.config.update({"learning_rate": rate}, allow_val_change=True)
            self._run.tags = tags_of(self._stage.fold, rate)
        self._run.summary.update(summary_of(self._stage, result))

    def _has(self, shown: dict[str, Any]) -> bool:
        return self._run.resumed and all(self._run.summary.get(name) is not None for name in shown)

    def _log(self, rows: dict[int, dict[str, float]]) -> None:
        """Log epochs that are not logged yet, in their order."""

        def log() -> None:
            new = [epoch for epoch in rows if epoch not in self._logged]
            order = [*self._logged, *new]
            if self.is_online and order != epochs_of(self._link.order, len(order)):
                self._keep(order=tuple(order))  # before the server has them
            for epoch in new:
                self._run.log(rows[epoch])
                self._logged.append(epoch)

        self._again_if_dead(log)

    def _again_if_dead(self, call: Callable[[], Any]) -> None:
        """Call the client; where its process died, start another and go on with the run."""
        while True:
            try:
                call()
            except ConnectionError:
                if self._opened > REOPENED:
                    raise
                forget()
                self._begun_before = True
                self._open()
            else:
                return

    def _open(self) -> None:
        self._opened += 1
        before = self._earlier_logs() if self._begun_before and not self.is_online else []
        path = self._folder.path()
        try:
            self._run = open_run(
                self._settings, self._mode, str(self._local), self._stage, path, self._link, self._stop
            )
        except Exception as error:
            if "deleted" not in str(error):
                raise
            self._link = self._link.renewed(self._settings, str(self._stage.key))  # an id is never free again
            self._run = open_run(
                self._settings, self._mode, str(self._local), self._stage, path, self._link, self._stop
            )
        self._logged = self._known(before)
        online = self._link.online or self.is_online
        self._keep(url=self._run.url if self.is_online else self._link.url, sweep=self._settings.sweep, online=online)

    def _earlier_logs(self) -> list[Path]:
        log_folder.fetch(self._folder.storage, self._local, self._link.run)
        return logs_of(self._local, self._link.run)

    def _known(self, before: list[Path]) -> list[int]:
        """The epochs that the run has: by its own word, or by its logs."""
        if not self.is_online:
            return sorted(epochs_in(before)[0])
        return epochs_of(self._link.order, self._run.starting_step)  # a row is a step

    def _keep(self, **changes: Any) -> None:
        changed: RunLink = replace(self._link, **changes)
        if changed != self._link or not self._begun_before:
            self._link, self._begun_before = changed, True
            self._link.write(self._folder)

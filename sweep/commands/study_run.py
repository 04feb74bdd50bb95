"""Running a study: every stage that is not done, the report, and once more what the report refuses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sweep.commands.exit_status import DONE, FAILED
from sweep.commands.preparation import PreparedStudy
from sweep.commands.run_messages import print_refused, print_report, print_summary
from sweep.monitor.console import Terminal
from sweep.plan.reconcile import stale
from trainables.store import layout
from trainables.store.selection import selection_table

if TYPE_CHECKING:
    from analysis.page.build import Report

Scores = Mapping[str, float | None]
"""Key of each stage that is done -> its val score, if it has one."""


@dataclass(frozen=True)
class StudyRun:
    """A run of a whole study.

    Attributes:
        prepared: the study and its plan.
        terminal: what the run tells a person.
        run_stages: runs the stages that are not among those done; returns an exit status.
    """

    prepared: PreparedStudy
    terminal: Terminal
    run_stages: Callable[[Scores], int]

    def run(self) -> int:
        """Run every stage that is not done, and again those whose results the report refuses. Return the exit status."""
        scores = self._scores_of_done()
        print_summary(self.terminal, self.prepared, len(scores))
        status, report = self._pass(scores)
        if status in (DONE, FAILED) and (retired := self._retire_refused(report)):
            self.terminal.say(f"{retired} results cannot be relied on and are done again")
            status, report = self._pass(self._scores_of_done())
        return FAILED if print_report(self.terminal, report) else status

    def _pass(self, scores: Scores) -> tuple[int, Report]:
        """Run what is not done, then write the report and the selection."""
        from analysis.page.build import build

        study = self.prepared.study
        status = self.run_stages(scores) if len(scores) < len(self.prepared.plan.stages) else DONE
        report = build(study)
        study.storage.write_table(layout.SELECTION, selection_table(report.choices))
        return status, report

    def _retire_refused(self, report: Report) -> int:
        """Retire the results that the report refuses; return how many there are."""
        stages = {stage.key: stage for stage in self.prepared.plan.stages}
        refused = print_refused(self.terminal, report)
        for left_out in refused:
            self.prepared.study.folder(stages[left_out.key]).retire(left_out.reason)
        return len(refused)

    def _scores_of_done(self) -> Scores:
        """Return the scores of the stages that are done, after retiring those that are stale."""
        stages, study = self.prepared.plan.stages, self.prepared.study
        results = study.committed(stages)
        by_key = {str(stage.key): stage for stage in stages}
        for key in stale(stages, results):
            self.terminal.say(f"stale, and done again: {by_key[key].name}: what it was made from has changed since")
            study.folder(by_key[key]).retire("stale: what it was made from has changed since")
            del results[key]
        return {key: result.get("metrics", {}).get("val_f1_macro") for key, result in results.items()}

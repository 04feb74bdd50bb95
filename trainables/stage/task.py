"""A stage to run, and the progress it reports."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from trainables.runtime import RuntimeContext
from trainables.specs import Stage
from trainables.stage.log import StageLog
from trainables.store.study import StageFolder, Study


@dataclass(frozen=True)
class StageTask:
    """A stage to run: what to do, and where its inputs, outputs and log are.

    Attributes:
        stage: the specification.
        study: where the stage is written.
        runtime: node-local paths and cadences.
        log: of this attempt.
    """

    stage: Stage
    study: Study
    runtime: RuntimeContext
    log: StageLog

    @cached_property
    def folder(self) -> StageFolder:
        """The stage's folder in the study."""
        return self.study.folder(self.stage)


@dataclass(frozen=True)
class StageProgress:
    """Progress of a running stage.

    Attributes:
        epoch: epochs done, with the share of the current one.
        epochs: epochs in all; 1 for a range test.
        metrics: of an epoch that just ended, flat (``epoch``, ``train_loss``, ``val_f1_macro``, ``learning_rate``, …);
            empty within an epoch.
    """

    epoch: float
    epochs: int
    metrics: dict[str, float] = field(default_factory=dict)

"""What a trial process gets: one attempt at a stage, as JSON in the configuration of a Tune trial."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from trainables.runtime import ONE_WORKER, RuntimeContext, Workers
from trainables.specs import Stage


@dataclass(frozen=True)
class TrialOptions:
    """What all trials of a run have in common.

    Attributes:
        worker: CPUs and GPUs of one worker.
        mirror: document of ``MirrorSettings``, without the API key; None: nothing is reported to W&B.
    """

    worker: Workers = ONE_WORKER
    mirror: dict[str, Any] | None = None


DEFAULTS = TrialOptions()


@dataclass(frozen=True)
class TrialRequest:
    """One attempt at a stage.

    Attributes:
        stage: the stage.
        study: location of the study.
        runtime: node-local paths and intervals.
        attempt: from 1.
        workers: number of workers, and CPUs and GPUs of each.
        mirror: see ``TrialOptions``.
    """

    stage: Stage
    study: str
    runtime: RuntimeContext
    attempt: int
    workers: Workers = ONE_WORKER
    mirror: dict[str, Any] | None = None

    def dumps(self) -> str:
        """Return the request as JSON."""
        plain = {"runtime": asdict(self.runtime), "attempt": self.attempt, "workers": asdict(self.workers)}
        return json.dumps({"stage": self.stage.document(), "study": self.study, **plain, "mirror": self.mirror})

    @classmethod
    def loads(cls, text: str) -> TrialRequest:
        """Rebuild a request from its JSON.

        Raises:
            ValueError: if the key of the stage is not that of its content.
        """
        fields = json.loads(text)
        runtime, workers = RuntimeContext(**fields["runtime"]), Workers(**fields["workers"])
        stage = Stage.from_document(fields["stage"])
        return cls(stage, fields["study"], runtime, fields["attempt"], workers, fields["mirror"])

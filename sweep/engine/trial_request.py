"""What a trial process is given: one attempt at a stage."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from trainables.runtime import ONE_WORKER, RuntimeContext, Workers
from trainables.specs import Stage


@dataclass(frozen=True)
class TrialRequest:
    """One attempt at a stage: all that a trial process is given, as plain values."""

    stage: Stage
    study: str
    runtime: RuntimeContext
    attempt: int
    workers: Workers = ONE_WORKER
    mirror: dict[str, Any] | None = None
    """How W&B is told of it; None: it is not. No key is in it."""

    def dumps(self) -> str:
        """Return the request as JSON."""
        plain = {"runtime": asdict(self.runtime), "attempt": self.attempt, "workers": asdict(self.workers)}
        return json.dumps({"stage": self.stage.document(), "study": self.study, **plain, "mirror": self.mirror})

    @classmethod
    def loads(cls, text: str) -> TrialRequest:
        """Read a request from its JSON."""
        fields = json.loads(text)
        runtime, workers = RuntimeContext(**fields["runtime"]), Workers(**fields["workers"])
        stage = Stage.from_document(fields["stage"])
        return cls(stage, fields["study"], runtime, fields["attempt"], workers, fields["mirror"])

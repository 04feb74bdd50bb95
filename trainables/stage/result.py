"""``result.json``: the commit marker of a stage."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from trainables.stage.environment import describe
from trainables.stage.setup import Setup
from trainables.training import memory


@dataclass(frozen=True)
class StageOutcome:
    """What a stage found; the fields of its result that depend on its kind.

    Attributes:
        selected_on: the measure by which an epoch or a rate was chosen.
        selected_epoch: from 0; None for a range test.
        learning_rate: start rate that was used, or that a range test found.
        metrics: flat (``val_f1_macro``, ``test_f1_macro``, …).
        weights: ``kept``, or ``dropped: RULE``.
        choice: of a range test: the rule that chose its rate, and why.
    """

    selected_on: str
    selected_epoch: int | None
    learning_rate: float
    metrics: dict[str, float]
    weights: str
    choice: dict[str, Any] | None = None

    def document(self) -> dict[str, Any]:
        """Return the fields as plain values, without an absent choice."""
        fields = asdict(self)
        return fields if self.choice is not None else {name: v for name, v in fields.items() if name != "choice"}


def commit(setup: Setup, outcome: StageOutcome, digests: dict[str, str], seconds: float) -> None:
    """Write the result of a stage, after all its other files.

    Args:
        setup: what the stage worked with.
        outcome: what it found.
        digests: file -> SHA-256 (hex) of the files it wrote.
        seconds: the time it took.
    """
    stage, device = setup.stage, setup.distributed.device
    environment = describe(device, stage.recipe, setup.distributed.size)
    environment |= {"micro_batch": setup.micro_batch, "peak_memory_bytes": memory.peak_bytes(device)}
    setup.task.folder.commit(
        {
            "status": "done",
            "key": stage.key,
            **outcome.document(),
            "classes": list(stage.data.classes),
            "digests": digests,
            "upstream_digests": setup.upstream_digests,
            "environment": environment,
            "seconds": seconds,
        }
    )

"""What a stage tells while it runs, and what every result has in common."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from trainables.stage.environment import describe
from trainables.stage.setup import Setup
from trainables.training import memory


@dataclass(frozen=True)
class StageProgress:
    """A sign of life of a running stage.

    Attributes:
        epoch: epochs done, with the part of the one under way.
        epochs: epochs in all; 1 for a range test.
        shown: what a finished epoch showed, flat (``epoch``, ``train_loss``, ``val_f1_macro``, ``learning_rate``,
            …); empty within an epoch.
    """

    epoch: float
    epochs: int
    shown: dict[str, float] = field(default_factory=dict)


def commit(setup: Setup, digests: dict[str, str], micro_batch: int | None, seconds: float, **fields: Any) -> None:
    """Write the result of a stage, last of its files.

    Args:
        setup: what it worked with.
        digests: of the files it wrote.
        micro_batch: images a worker took at once in the end.
        seconds: that the work took.
        fields: what is of its kind.
    """
    stage, device = setup.stage, setup.input_spec.device
    environment = describe(device, stage.recipe, setup.distributed.size)
    environment |= {"micro_batch": micro_batch, "peak_memory_bytes": memory.peak_bytes(device)}
    setup.folder.commit(
        {
            "status": "done",
            "key": stage.key,
            **fields,
            "classes": list(stage.data.classes),
            "digests": digests,
            "upstream_digests": setup.upstream,
            "environment": environment,
            "seconds": seconds,
        }
    )

"""What a trial process is told of the mirror. Plain values, and never the key: that is in its own environment."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from typing import Any, Literal

Mode = Literal["online", "offline"]
ID_LENGTH = 16


@dataclass(frozen=True)
class MirrorSettings:
    """Where the runs of a study go.

    Attributes:
        mode: ``offline`` runs are kept in the study folder until they are synced.
        project: of W&B.
        entity: user or team of W&B; None: the one that the key belongs to.
        sweep: id of the study's W&B sweep, if it has one.
        study: name of the study.
        uid: of the study.
        images: whether pictures of the data may leave the machine.
        stagger_seconds: the first contact of a process with the server is put off by up to so long.
    """

    mode: Mode
    project: str
    entity: str | None
    sweep: str | None
    study: str
    uid: str
    images: bool = False
    stagger_seconds: float = 0.0

    def document(self) -> dict[str, Any]:
        """Return them as plain values."""
        return asdict(self)

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> MirrorSettings:
        """Read plain values."""
        return cls(**document)

    def run_id(self, key: str, generation: int) -> str:
        """Return the id of a stage's run: the same for all its attempts."""
        return hashlib.sha256(f"{self.uid}/{key}/{generation}".encode()).hexdigest()[:ID_LENGTH]

"""Settings of the mirror as a trial process gets them: plain values, never the API key, which each node has itself."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Mode = Literal["online", "offline"]


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
        images: whether images of the data may be uploaded.
        stagger_seconds: a process waits a random time of at most this length before its first contact with the server.
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
        """Return them as plain values, for JSON."""
        return asdict(self)

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> MirrorSettings:
        """Rebuild them from what ``document`` returned."""
        return cls(**document)

"""Settings of the mirror as a trial process gets them: plain values, never the API key, which each node has itself."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from trainables.errors import UserError

FORBIDDEN = "/\\#?%:"
"""Characters that the client of W&B refuses in the name of a project; in that of a user or team no address could hold them."""
MOST_CHARACTERS = 128
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


def refuse_bad_names(project: str | None, entity: str | None) -> None:
    """Refuse names that W&B would refuse, or take for another place, when the first run begins.

    Raises:
        UserError: with every fault.
    """
    named = {"project (--wandb-project, or WANDB_PROJECT)": project, "entity (--wandb-entity, or WANDB_ENTITY)": entity}
    faults = [
        f"the W&B {what} {name!a}: {_fault(name)}" for what, name in named.items() if name is not None and _fault(name)
    ]
    if faults:
        raise UserError(faults)


def _fault(name: str) -> str:
    if not name.strip() or name != name.strip():
        return "it is empty, or begins or ends with a space"
    if len(name) > MOST_CHARACTERS:
        return f"it has {len(name)} characters, at most {MOST_CHARACTERS} are possible"
    found = sorted({one for one in name if one in FORBIDDEN or not one.isprintable()})
    if found:
        return (
            f"it contains {', '.join(map(ascii, found))}; not possible are control characters and {' '.join(FORBIDDEN)}"
        )
    return ""

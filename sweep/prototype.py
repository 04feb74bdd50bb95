"""Many stages that differ in a few plain fields, made quickly: what they have in common is hashed as text once."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from trainables.identity import canonical
from trainables.specs import Stage


class Prototype:
    """A stage, and copies of it with other values of its plain fields (name, fold, seed, learning rate, …)."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._known = stage.key is not None
        self._texts = {name: canonical(value) for name, value in stage.identity().items()}

    def copy(self, **changes: Any) -> Stage:
        """Return a changed copy with the key that it would compute itself: canonical JSON is put together from parts."""
        copy = self._stage.model_copy(update=changes)
        copy.__dict__["key"] = self._key(changes) if self._known else None
        return copy

    def _key(self, changes: dict[str, Any]) -> str:
        texts = self._texts | {name: json.dumps(value) for name, value in changes.items() if name in self._texts}
        content = ",".join(f'"{name}":{texts[name]}' for name in sorted(texts))
        return hashlib.sha256(f"{{{content}}}".encode()).hexdigest()

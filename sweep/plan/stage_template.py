"""Many stages that differ in a few fields, made quickly: what they have in common is hashed as text once."""

from __future__ import annotations

import hashlib
from typing import Any

from trainables.hashing import canonical
from trainables.specs import InitialWeights, Stage


class StageTemplate:
    """A stage, and copies of it with other values of its plain fields (name, fold, seed, learning rate, …)."""

    def __init__(self, stage: Stage) -> None:
        """Take in a stage."""
        self._stage = stage
        self._known = stage.key is not None
        self._texts = {name: canonical(value) for name, value in sorted(stage.identity().items())}

    def starting_from(self, initial: InitialWeights, upstream: tuple[str, ...]) -> StageTemplate:
        """Return the prototype of the same stage with other initial weights."""
        other = object.__new__(StageTemplate)
        other._stage = self._stage.model_copy(update={"initial": initial, "upstream": upstream})
        plain = initial.model_dump(exclude={"name"})
        other._known = self._known and None not in plain.values()
        other._texts = self._texts | {"initial": canonical(plain), "upstream": canonical(upstream)}
        return other

    def copy(self, **changes: Any) -> Stage:
        """Return a changed copy with the key that it would compute itself: canonical JSON is put together from parts."""
        copy = self._stage.model_copy(update=changes)
        copy.__dict__["key"] = self._key(changes) if self._known else None
        return copy

    def _key(self, changes: dict[str, Any]) -> str:
        texts = self._texts | {name: _text(value) for name, value in changes.items() if name in self._texts}
        content = ",".join([f'"{name}":{text}' for name, text in texts.items()])
        return hashlib.sha256(f"{{{content}}}".encode()).hexdigest()


def _text(value: Any) -> str:
    """As ``canonical``; numbers without asking it: that is most of a large plan's time."""
    return repr(value) if type(value) is int or type(value) is float else canonical(value)

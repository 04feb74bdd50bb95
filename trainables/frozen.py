"""The base of every specification."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """Base of all specifications: immutable, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def __hash__(self) -> int:
        """Hash all fields but mappings, which have no hash: specifications that differ there alone collide."""
        values = (getattr(self, name) for name in type(self).model_fields)
        return hash((type(self), *(value for value in values if not isinstance(value, dict))))

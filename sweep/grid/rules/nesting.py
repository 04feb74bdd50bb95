"""Values laid into mappings, and mappings laid over the fields of a data set: what an axis that is a setting does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter

from trainables.data.readers.data_spec import DataSpec

_DATA_SPEC: TypeAdapter[DataSpec] = TypeAdapter(DataSpec)


def nested(path: list[str], value: Any) -> dict[str, Any]:
    """Return mappings in mappings that hold a value: ``{"a": {"b": value}}``.

    Args:
        path: keys from the outermost to the innermost: ``["a", "b"]``.
        value: the value.
    """
    for name in reversed(path):
        value = {name: value}
    return dict(value)


def changed_data(spec: DataSpec, changes: Mapping[str, Any]) -> DataSpec:
    """Return the specification of a data set with some fields changed.

    Args:
        spec: the specification.
        changes: field -> new value.

    Raises:
        pydantic.ValidationError: if a field does not take its value.
    """
    return _DATA_SPEC.validate_python(spec.model_dump() | dict(changes)) if changes else spec

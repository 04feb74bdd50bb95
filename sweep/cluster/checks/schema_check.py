"""Check a cluster file as ``ray up`` does: Ray's schema, and the further rules of its launcher."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from sweep.cluster.config.cluster_file import ClusterFile
from sweep.compat.ray import validate_cluster_config
from trainables.errors import suggestion


def errors(file: ClusterFile) -> Iterator[str]:
    """Yield an error for what Ray would refuse."""
    import jsonschema

    try:
        validate_cluster_config(copy.deepcopy(file.value))
    except jsonschema.ValidationError as error:
        yield _with_line(file, error)
    except Exception as error:  # noqa: BLE001 - Ray raises many classes; all are about this file
        yield file.error(f"Ray refuses it: {_first_line(error)}")


def _with_line(file: ClusterFile, error: Any) -> str:
    place = tuple(error.absolute_path)
    if error.validator == "additionalProperties":
        known = error.schema.get("properties", {})
        unknown = next(iter(error.instance.keys() - known.keys()))
        name = ".".join(str(part) for part in (*place, unknown))
        return file.error(f"unknown key {name}{suggestion(unknown, known)}", *place, unknown)
    return file.error(f"{'.'.join(str(part) for part in place) or 'the file'}: {error.message[:200]}", *place)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]

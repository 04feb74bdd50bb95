"""Whether Ray itself takes a cluster file: its schema, and the rules that its launcher has beside it."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator
from typing import Any

from sweep.cluster.config.cluster_file import ClusterFile
from trainables.errors import suggestion


def faults(file: ClusterFile) -> Iterator[str]:
    """Tell what Ray would refuse."""
    import jsonschema
    from ray.autoscaler._private.util import prepare_config, validate_config

    logging.getLogger("ray.autoscaler._private.util").setLevel(logging.WARNING)
    try:
        # Only the prepared form is complete: defaults are filled in, old keys are translated.
        validate_config(prepare_config(copy.deepcopy(file.value)))
    except jsonschema.ValidationError as error:
        yield _said(file, error)
    except Exception as error:  # noqa: BLE001 - Ray raises whatever comes; all of it is about this file
        yield file.fault(f"Ray refuses it: {_first_line(error)}")


def _said(file: ClusterFile, error: Any) -> str:
    place = tuple(error.absolute_path)
    if error.validator == "additionalProperties":
        known = error.schema.get("properties", {})
        unknown = next(iter(error.instance.keys() - known.keys()))
        name = ".".join(str(part) for part in (*place, unknown))
        return file.fault(f"unknown key {name}{suggestion(unknown, known)}", *place, unknown)
    return file.fault(f"{'.'.join(str(part) for part in place) or 'the file'}: {error.message[:200]}", *place)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]

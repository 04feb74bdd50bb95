"""All that can be known of a cluster file before it costs anything."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.util import find_spec

from sweep.cluster.checks import paths_check, schema_check, security_check
from sweep.cluster.config.cluster_file import ClusterFile


def faults(file: ClusterFile, storage: str | None = None) -> list[str]:
    """Return every fault found, each with its line."""
    checks: list[Callable[[ClusterFile], Iterator[str]]] = [
        schema_check.faults,
        paths_check.faults,
        security_check.faults,
    ]
    if file.provider == "aws":
        checks.append(_aws)
    found = [fault for check in checks for fault in check(file)]
    if storage is not None:
        found += paths_check.storage_faults(storage)
    return list(dict.fromkeys(found))


def _aws(file: ClusterFile) -> Iterator[str]:
    if find_spec("boto3") is None:
        yield "AWS needs boto3, which is not installed: pip install -c constraints.txt -e '.[cluster]'"
        return
    from sweep.cluster.checks import aws_check

    yield from aws_check.faults(file)

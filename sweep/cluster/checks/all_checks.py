"""All checks of a cluster file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.util import find_spec

from sweep.cluster.checks import paths_check, schema_check, security_check
from sweep.cluster.config.cluster_file import ClusterFile


def errors(file: ClusterFile, storage: str | None = None) -> list[str]:
    """Return all errors in a cluster file, each with its line.

    Args:
        file: to be checked.
        storage: location that must be writable, if given.
    """
    checks: list[Callable[[ClusterFile], Iterator[str]]] = [
        schema_check.errors,
        paths_check.errors,
        security_check.errors,
    ]
    if file.provider == "aws":
        checks.append(_aws)
    found = [error for check in checks for error in check(file)]
    if storage is not None:
        found += paths_check.storage_errors(storage)
    return list(dict.fromkeys(found))


def _aws(file: ClusterFile) -> Iterator[str]:
    if find_spec("boto3") is None:
        yield "AWS needs boto3, which is not installed: pip install -c constraints.txt -e '.[cluster]'"
        return
    from sweep.cluster.checks import aws_check

    yield from aws_check.errors(file)

"""A study as it is published: without absolute paths, hosts and process numbers, which say who made it and where."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import yaml

from trainables.store import layout
from trainables.store.arrow import parquet_bytes, read_parquet
from trainables.store.storage import Storage
from trainables.store.untrusted import MOST_FILE, load_json, load_yaml

PLACES = frozenset({"node", "process"})
"""Fields of the environment of a result that name a machine, or something on it."""
_PATH = re.compile(r"(?<![\w.:/<])~?(?:/[^\s/\"'`,;:()<>]+){2,}/?")


class PublicStorage(Storage):
    """A study's storage, whose files are read as they are published. Keys and digests stay: none is of what is left out."""

    def read(self, name: str, most: int = MOST_FILE) -> bytes:
        """Return a file's bytes as they are published.

        Raises:
            FileNotFoundError: if there is no such file.
            UnsafeFileError: if it is larger, no regular file, or a link.
            ValueError: if it is to be changed and cannot be read.
        """
        content, change = super().read(name, most), _CHANGES.get(name.rpartition("/")[2])
        return content if change is None else change(content)


def without_paths(value: Any) -> Any:
    """Return a value of JSON with absolute paths in its texts cut to their last part."""
    if isinstance(value, str):
        if value.startswith(("/", "~/")) and "\n" not in value:
            return value.rstrip("/").rpartition("/")[2]
        return _PATH.sub(lambda found: found.group().rstrip("/").rpartition("/")[2], value)
    if isinstance(value, dict):
        return {name: without_paths(inner) for name, inner in value.items()}
    return [without_paths(inner) for inner in value] if isinstance(value, list) else value


def _result(content: bytes) -> bytes:
    result = load_json(content)
    if isinstance(result, dict):
        if isinstance(result.get("environment"), dict):
            result["environment"] = {name: v for name, v in result["environment"].items() if name not in PLACES}
        if isinstance(result.get("origin"), dict) and isinstance(result["origin"].get("study"), str):
            result["origin"]["study"] = result["origin"]["study"].rstrip("/").rpartition("/")[2]
    return json.dumps(result, indent=1).encode()


def _plan(content: bytes) -> bytes:
    plan = load_json(content)
    if isinstance(plan, dict):
        plan.pop("places", None)
        plan |= {name: without_paths(plan[name]) for name in ("grid", "data", "splits") if name in plan}
    return json.dumps(plan, indent=1).encode()


def _grid(content: bytes) -> bytes:
    return yaml.safe_dump(without_paths(load_yaml(content)), sort_keys=False, allow_unicode=True).encode()


def _problems(content: bytes) -> bytes:
    table = read_parquet(content)
    rows = [without_paths(row) for row in table.to_pylist()]
    return parquet_bytes(type(table).from_pylist(rows, schema=table.schema))


_CHANGES: dict[str, Callable[[bytes], bytes]] = {
    layout.RESULT: _result,
    layout.PLAN: _plan,
    layout.GRID: _grid,
    layout.DATA_PROBLEMS: _problems,
}

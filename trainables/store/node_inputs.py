"""Inputs of a study on its storage, and on the nodes that need them: copied to a node's disk once, shared by its stages.

A parcel is a folder of files (a packed data set, a file of weights) with a list of their digests, written last. A node uses
what lies where the driver said, if it sees that place; otherwise it fetches the parcel, and believes no copy that
does not have the digests of the list.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable
from pathlib import Path

from filelock import FileLock

from trainables.errors import UserError
from trainables.runtime import RuntimeContext
from trainables.store.storage import Storage, node_cache

LIST = "whole.json"
"""Of a parcel: file -> SHA-256 and bytes. Of a node's copy also the time at which a file was last compared with it."""
TRIES = 2

Listed = dict[str, dict[str, str | int]]


def offer_data(depot: Storage, folder: Path) -> bool:
    """Keep a packed data set on the storage; say whether it had to be sent."""
    return _offer(depot, f"data/{folder.name}", [file for file in folder.iterdir() if file.is_file()])


def offer_weights(depot: Storage, sha256: str, file: Path) -> bool:
    """Keep a file of initial weights on the storage; say whether it had to be sent."""
    return _offer(depot, f"weights/{sha256}", [file])


def data_folder(runtime: RuntimeContext, name: str) -> Path:
    """Return the folder of a packed data set on this node, fetched first where it is not here.

    Raises:
        UserError: if it is not on the storage either, or not whole there, or has no room here.
    """
    folder = Path(runtime.data[name])
    return _at_hand(runtime, f"data/{folder.name}", folder)


def weights_file(runtime: RuntimeContext, sha256: str) -> Path:
    """Return a file of initial weights on this node, fetched first where it is not here. Raises as ``data_folder``."""
    file = Path(runtime.weights[sha256])
    found = _at_hand(runtime, f"weights/{sha256}", file)
    return found if found == file else found / file.name


def discard_copy(runtime: RuntimeContext, name: str) -> bool:
    """Have this node's own copy of a packed data set fetched again when it is next needed; return whether there is one."""
    listed = node_cache() / "data" / Path(runtime.data[name]).name / LIST
    if runtime.depot is None or not listed.is_file():
        return False
    listed.unlink(missing_ok=True)
    return True


def place_of(runtime: RuntimeContext, name: str) -> Path | None:
    """Return where a packed data set lies on this node, or will once a stage needed it; None of one that is unknown."""
    given = runtime.data.get(name)
    if given is None:
        return None
    return Path(given) if runtime.depot is None or Path(given).exists() else node_cache() / "data" / Path(given).name


def _offer(depot: Storage, name: str, files: Iterable[Path]) -> bool:
    sizes = {file.name: file.stat().st_size for file in files if file.name != LIST}
    by_name = {file.name: file for file in files}
    if {file: listed["bytes"] for file, listed in _listed(depot, name).items()} == sizes:
        return False
    sent = {file: {"sha256": depot.send(by_name[file], f"{name}/{file}"), "bytes": sizes[file]} for file in sizes}
    depot.write_json(f"{name}/{LIST}", sent)
    return True


def _listed(depot: Storage, name: str) -> Listed:
    try:
        return dict(depot.read_json(f"{name}/{LIST}"))
    except (FileNotFoundError, ValueError):
        return {}


def _at_hand(runtime: RuntimeContext, name: str, given: Path) -> Path:
    place = node_cache() / name
    if runtime.depot is None or (given.exists() and not (place / LIST).is_file()):
        return given
    if not _is_whole(place):
        place.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(place.with_name(f"{place.name}.lock")):
            if not _is_whole(place):
                _fetch(Storage(runtime.depot), name, place, given)
    return place


def _is_whole(place: Path) -> bool:
    """Compare a copy with its list: by its digests once, then by size and time, for as long as those stay."""
    try:
        listed = json.loads((place / LIST).read_text(encoding="utf-8"))
        stamps = {file: _stamp(place / file) for file in listed}
        if all(known["stamp"] == stamps[file] for file, known in listed.items()):
            return bool(listed)
        if any(known["sha256"] != _sha256(place / file) for file, known in listed.items()):
            return False
        _write_list(place, listed)
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return True


def _fetch(depot: Storage, name: str, place: Path, given: Path) -> None:
    listed = _listed(depot, name)
    if not listed:
        raise UserError(
            f"neither {given} nor {depot.path(name)} is there: this node has no way to it. All nodes must share the storage; "
            "what is missing there the next run sends"
        )
    size, free = sum(int(known["bytes"]) for known in listed.values()), shutil.disk_usage(place.parent).free
    if size > free:
        raise UserError(
            f"{depot.path(name)} takes {size / 1e9:.1f} GB, {free / 1e9:.1f} GB are free in {place.parent}: "
            "SWEEP_CACHE names a folder on a larger disk"
        )
    partial = place.with_name(f"{place.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        for file, known in listed.items():
            _fetch_file(depot, f"{name}/{file}", partial / file, str(known["sha256"]))
        _write_list(partial, listed)
        shutil.rmtree(place, ignore_errors=True)  # a torn copy
        partial.replace(place)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _fetch_file(depot: Storage, name: str, file: Path, sha256: str) -> None:
    for _ in range(TRIES):
        if depot.fetch(name, file) == sha256:
            return
    raise UserError(
        f"{depot.path(name)} is not what was sent there: its SHA-256 differs. Delete its folder: the next run sends it again"
    )


def _write_list(place: Path, listed: Listed) -> None:
    stamped = {file: {**known, "stamp": _stamp(place / file)} for file, known in listed.items()}
    Storage(place).write_json(LIST, stamped)


def _stamp(file: Path) -> str:
    status = file.stat()
    return f"{status.st_size}:{status.st_mtime_ns}:{status.st_ctime_ns}:{status.st_ino}"


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()

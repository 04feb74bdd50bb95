"""Inputs of a study on its storage, downloaded once to the disk of every node that needs them.

An artifact is a folder of files (a prepared data set, or a file of weights) with a manifest of their SHA-256, written
last. A node uses the driver's path if it is visible from that node; otherwise it downloads the artifact and verifies it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path

from filelock import FileLock

from trainables.errors import UserError
from trainables.hashing import file_sha256
from trainables.runtime import RuntimeContext
from trainables.store.storage import Storage, node_cache

MANIFEST = "whole.json"
"""In an artifact: file -> SHA-256 and bytes. In a node's copy also the size and time of the file when it was verified."""
ATTEMPTS = 2
"""Downloads of a file before its content is refused."""

Manifest = dict[str, dict[str, str | int]]


def upload_data(store: Storage, folder: Path) -> bool:
    """Upload a prepared data set, unless the storage has it.

    Args:
        store: of artifacts.
        folder: the data set; its name is the artifact's.

    Returns:
        whether it had to be uploaded.
    """
    return _upload(store, f"data/{folder.name}", [file for file in folder.iterdir() if file.is_file()])


def upload_weights(store: Storage, sha256: str, file: Path) -> bool:
    """Upload a file of initial weights, unless the storage has it.

    Args:
        store: of artifacts.
        sha256: digest of the file (hex), the artifact's name.
        file: on this machine.

    Returns:
        whether it had to be uploaded.
    """
    return _upload(store, f"weights/{sha256}", [file])


def data_folder(runtime: RuntimeContext, name: str) -> Path:
    """Return the folder of a prepared data set on this node; download it first if necessary.

    Args:
        runtime: where the driver has it, and the storage of artifacts.
        name: of the data set.

    Raises:
        UserError: if the storage has no whole copy of it, or this node has no disk space for it.
    """
    folder = Path(runtime.data[name])
    return _local_copy(runtime, f"data/{folder.name}", folder)


def weights_file(runtime: RuntimeContext, sha256: str) -> Path:
    """Return a file of initial weights on this node; download it first if necessary. Raises as ``data_folder``.

    Args:
        runtime: where the driver has it, and the storage of artifacts.
        sha256: digest of the file (hex).
    """
    file = Path(runtime.weights[sha256])
    found = _local_copy(runtime, f"weights/{sha256}", file)
    return found if found == file else found / file.name


def discard_copy(runtime: RuntimeContext, name: str) -> bool:
    """Have this node's own copy of a prepared data set downloaded again when it is next needed.

    Args:
        runtime: where the driver has it, and the storage of artifacts.
        name: of the data set.

    Returns:
        whether this node has a copy of its own.
    """
    manifest = node_cache() / "data" / Path(runtime.data[name]).name / MANIFEST
    if runtime.artifact_store is None or not manifest.is_file():
        return False
    manifest.unlink(missing_ok=True)
    return True


def expected_data_folder(runtime: RuntimeContext, name: str) -> Path | None:
    """Return the folder that ``data_folder`` would return, without downloading; None for an unknown data set.

    Args:
        runtime: where the driver has it, and the storage of artifacts.
        name: of the data set.
    """
    given = runtime.data.get(name)
    if given is None:
        return None
    visible = runtime.artifact_store is None or Path(given).exists()
    return Path(given) if visible else node_cache() / "data" / Path(given).name


def _upload(store: Storage, name: str, files: Iterable[Path]) -> bool:
    by_name = {file.name: file for file in files if file.name != MANIFEST}
    sizes = {file: by_name[file].stat().st_size for file in by_name}
    if {file: known["bytes"] for file, known in _manifest(store, name).items()} == sizes:
        return False
    sent = {file: {"sha256": store.upload(by_name[file], f"{name}/{file}"), "bytes": sizes[file]} for file in sizes}
    store.write_json(f"{name}/{MANIFEST}", sent)
    return True


def _manifest(store: Storage, name: str) -> Manifest:
    return store.read_json_or_none(f"{name}/{MANIFEST}") or {}


def _local_copy(runtime: RuntimeContext, name: str, given: Path) -> Path:
    copy = node_cache() / name
    if runtime.artifact_store is None or (given.exists() and not (copy / MANIFEST).is_file()):
        return given
    if not _is_whole(copy):
        copy.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(copy.with_name(f"{copy.name}.lock")):
            if not _is_whole(copy):
                _download(Storage(runtime.artifact_store), name, copy, given)
    return copy


def _is_whole(copy: Path) -> bool:
    """Compare a copy with its manifest: by SHA-256 once, after that by size and time until they change."""
    try:
        manifest = json.loads((copy / MANIFEST).read_text(encoding="utf-8"))
        stamps = {file: _stamp(copy / file) for file in manifest}
        if all(known["stamp"] == stamps[file] for file, known in manifest.items()):
            return bool(manifest)
        if any(known["sha256"] != file_sha256(copy / file) for file, known in manifest.items()):
            return False
        _write_manifest(copy, manifest)
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return True


def _download(store: Storage, name: str, copy: Path, given: Path) -> None:
    manifest = _manifest(store, name)
    if not manifest:
        raise UserError(
            f"this node sees neither {given} nor {store.path(name)}. All nodes must share the storage; "
            "the next run uploads what is missing there"
        )
    size, free = sum(int(known["bytes"]) for known in manifest.values()), shutil.disk_usage(copy.parent).free
    if size > free:
        raise UserError(
            f"{store.path(name)} takes {size / 1e9:.1f} GB, {free / 1e9:.1f} GB are free in {copy.parent}: "
            "set SWEEP_CACHE to a folder on a larger disk"
        )
    partial = copy.with_name(f"{copy.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        for file, known in manifest.items():
            _download_file(store, f"{name}/{file}", partial / file, str(known["sha256"]))
        _write_manifest(partial, manifest)
        shutil.rmtree(copy, ignore_errors=True)  # a damaged copy
        partial.replace(copy)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _download_file(store: Storage, name: str, file: Path, sha256: str) -> None:
    for _ in range(ATTEMPTS):
        if store.download(name, file) == sha256:
            return
    raise UserError(
        f"{store.path(name)} is not what was uploaded: its SHA-256 differs. Delete its folder: the next run uploads it again"
    )


def _write_manifest(copy: Path, manifest: Manifest) -> None:
    stamped = {file: {**known, "stamp": _stamp(copy / file)} for file, known in manifest.items()}
    Storage(copy).write_json(MANIFEST, stamped)


def _stamp(file: Path) -> str:
    status = file.stat()
    return f"{status.st_size}:{status.st_mtime_ns}:{status.st_ctime_ns}:{status.st_ino}"

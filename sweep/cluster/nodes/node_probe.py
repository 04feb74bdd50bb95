"""What is examined on each node. Runs there, as Ray tasks."""

from __future__ import annotations

import platform
import shutil
import socket
import tempfile
import time
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("ray", "torch", "torchvision", "timm", "numpy", "pyarrow", "opencv-python-headless", "simplejpeg")


def examine(storage: str | None, name: str) -> dict[str, Any]:
    """Describe this node, and write a file to the storage.

    Args:
        storage: location; None: nothing is written.
        name: of the file.

    Returns:
        host, time (seconds since 1970), versions, code (digest of the project), shm_free and disk_free (bytes), gpus, and
        storage: an error message, or None.
    """
    found = {
        "host": socket.gethostname(),
        "time": time.time(),
        "versions": {"python": platform.python_version(), **{p: _version(p) for p in PACKAGES}},
        "code": _code(),
        "shm_free": _free("/dev/shm"),  # noqa: S108 - shared memory of Ray's object store and torch's data workers
        "disk_free": _free(tempfile.gettempdir()),
        "gpus": _gpus(),
        "storage": None,
    }
    if storage is not None:
        from trainables.store.storage import Storage

        try:
            Storage(storage).write(name, name.encode())
        except Exception as error:  # noqa: BLE001 - any is reported
            found["storage"] = f"cannot write: {error}"
    return found


def read_all(storage: str, names: list[str]) -> str | None:
    """Read the files that all nodes wrote.

    Args:
        storage: location.
        names: of the files.

    Returns:
        an error message, or None.
    """
    from trainables.store.storage import Storage

    place = Storage(storage)
    for name in names:
        try:
            if place.read(name) != name.encode():
                return f"{name} does not contain what was written"
        except Exception as error:  # noqa: BLE001 - any is reported
            return f"cannot read what another node wrote: {error}"
    return None


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "absent"


def _code() -> str:
    """Digest of the project's code, which must be the same on all nodes."""
    from trainables.hashing import digest

    root = Path(__file__).parents[3]
    files = sorted(file for package in ("sweep", "trainables", "analysis") for file in (root / package).rglob("*.py"))
    return digest([[file.relative_to(root).as_posix(), file.read_text(encoding="utf-8")] for file in files])[:12]


def _free(folder: str) -> int | None:
    return shutil.disk_usage(folder).free if Path(folder).is_dir() else None


def _gpus() -> int:
    """Number of GPUs that the NVIDIA driver sees: one device file each."""
    return len([file for file in Path("/dev").glob("nvidia*") if file.name.removeprefix("nvidia").isdigit()])

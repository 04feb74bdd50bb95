"""What is asked of each node. Runs there, as a task of Ray."""

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


def look(storage: str | None, name: str) -> dict[str, Any]:
    """Return what a node is like; leave a note of it on the storage."""
    found = {
        "host": socket.gethostname(),
        "time": time.time(),
        "versions": {"python": platform.python_version(), **{p: _version(p) for p in PACKAGES}},
        "code": _code(),
        "shm_free": _free("/dev/shm"),  # noqa: S108 - Ray's objects and torch's workers share memory there
        "disk_free": _free(tempfile.gettempdir()),
        "gpus": _gpus(),
        "storage": None,
    }
    if storage is not None:
        from trainables.store.storage import Storage

        try:
            Storage(storage).write(name, name.encode())
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told
            found["storage"] = f"cannot write: {error}"
    return found


def read_all(storage: str, names: list[str]) -> str | None:
    """Read what all nodes wrote; return what is wrong."""
    from trainables.store.storage import Storage

    place = Storage(storage)
    for name in names:
        try:
            if place.read(name) != name.encode():
                return f"{name} does not hold what was written"
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told
            return f"cannot read what another node wrote: {error}"
    return None


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "absent"


def _code() -> str:
    """A digest of the project's own code: nodes must not differ."""
    from trainables.hashing import digest

    root = Path(__file__).parents[3]
    files = sorted(file for package in ("sweep", "trainables", "analysis") for file in (root / package).rglob("*.py"))
    return digest([[file.relative_to(root).as_posix(), file.read_text(encoding="utf-8")] for file in files])[:12]


def _free(folder: str) -> int | None:
    return shutil.disk_usage(folder).free if Path(folder).is_dir() else None


def _gpus() -> int:
    """GPUs that the driver sees: of each there is a device file."""
    return len([file for file in Path("/dev").glob("nvidia*") if file.name.removeprefix("nvidia").isdigit()])

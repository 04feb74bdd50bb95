"""A bundle as a zip file or a folder, with a manifest of digests that it is checked against."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from trainables.errors import UserError

MANIFEST = "MANIFEST.json"
LONG_AGO = (1980, 1, 1, 0, 0, 0)
"""Time stamp of every file in a zip, so that the same content gives the same bytes."""
COMPRESSED = (".parquet", ".safetensors")
"""Endings of files that are compressed already."""

Write = Callable[[str, bytes], None]


@dataclass(frozen=True)
class BundleCheck:
    """What was packed, or found in a bundle.

    Attributes:
        files: number of files.
        bytes: their total size.
        digest: SHA-256 (hex) of the manifest, which identifies the whole bundle.
        faults: files that are missing, changed or not in the manifest.
    """

    files: int
    bytes: int
    digest: str
    faults: tuple[str, ...] = ()


def pack(files: Iterable[tuple[str, Callable[[], bytes]]], out: Path) -> BundleCheck:
    """Write a bundle, its manifest last. An incomplete zip file is not left behind.

    Args:
        files: names in the bundle, and functions that read their bytes.
        out: a zip file if it ends in ``.zip``, else a folder.

    Raises:
        UserError: if ``out`` exists and is not an empty folder.
        OSError: if it cannot be written.
    """
    if out.exists() and (out.is_file() or any(out.iterdir())):
        raise UserError(f"{out} is there already. Give another --out, or take it away")
    out.parent.mkdir(parents=True, exist_ok=True)
    listed: dict[str, dict[str, Any]] = {}
    with (_zip if out.suffix == ".zip" else _folder)(out) as write:
        for name, read in files:
            content = read()
            write(name, content)
            listed[name] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        manifest = (json.dumps({"files": dict(sorted(listed.items()))}, indent=1, ensure_ascii=False) + "\n").encode()
        write(MANIFEST, manifest)
    total = sum(int(entry["bytes"]) for entry in listed.values())
    return BundleCheck(len(listed), total, hashlib.sha256(manifest).hexdigest())


def verify(bundle: Path) -> BundleCheck:
    """Check every file of a bundle against its manifest.

    Raises:
        UserError: if there is no bundle, or its manifest cannot be read.
    """
    with _opened(bundle) as (names, read):
        if MANIFEST not in names:
            raise UserError(f"{bundle} has no {MANIFEST}: it is no bundle, or was not written to its end")
        content = read(MANIFEST)
        try:
            listed: dict[str, dict[str, Any]] = json.loads(content)["files"]
            digests = {name: str(entry["sha256"]) for name, entry in listed.items()}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{MANIFEST} of {bundle} cannot be read: {error}") from error
        faults = [f"missing: {name}" for name in digests if name not in names]
        faults += [f"not in the manifest: {name}" for name in sorted(names - {MANIFEST} - digests.keys())]
        for name in sorted(digests.keys() & names):
            try:
                found = hashlib.sha256(read(name)).hexdigest()
            except (zipfile.BadZipFile, OSError) as error:
                found = str(error)
            if found != digests[name]:
                faults.append(f"changed: {name}")
    total = sum(int(entry.get("bytes", 0)) for entry in listed.values())
    return BundleCheck(len(digests), total, hashlib.sha256(content).hexdigest(), tuple(faults))


@contextmanager
def _zip(out: Path) -> Iterator[Write]:
    unfinished = out.with_name(f".{out.name}.partial")
    try:
        with zipfile.ZipFile(unfinished, "w") as archive:
            yield lambda name, content: _add(archive, name, content)
        unfinished.replace(out)
    finally:
        unfinished.unlink(missing_ok=True)


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    entry = zipfile.ZipInfo(name, LONG_AGO)
    entry.compress_type = zipfile.ZIP_STORED if name.endswith(COMPRESSED) else zipfile.ZIP_DEFLATED
    entry.external_attr = 0o644 << 16
    archive.writestr(entry, content)


@contextmanager
def _folder(out: Path) -> Iterator[Write]:
    # A folder without a manifest, which is written last, is incomplete.
    yield partial(_write_file, out)


def _write_file(folder: Path, name: str, content: bytes) -> None:
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)


@contextmanager
def _opened(bundle: Path) -> Iterator[tuple[set[str], Callable[[str], bytes]]]:
    if bundle.is_dir():
        names = {path.relative_to(bundle).as_posix() for path in bundle.rglob("*") if path.is_file()}
        yield names, lambda name: (bundle / name).read_bytes()
        return
    try:
        with zipfile.ZipFile(bundle) as archive:
            yield {name for name in archive.namelist() if not name.endswith("/")}, archive.read
    except (FileNotFoundError, zipfile.BadZipFile) as error:
        raise UserError(f"no bundle at {bundle}: {error}") from error

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

from pydantic import BaseModel, Field

from analysis.archive.opened import opened
from trainables.errors import UserError
from trainables.store.untrusted import MOST_FILE, MOST_JSON, load_json, refuse_way_out

MANIFEST = "MANIFEST.json"
LONG_AGO = (1980, 1, 1, 0, 0, 0)
"""Time stamp of every file in a zip, so that the same content gives the same bytes."""
COMPRESSED = (".parquet", ".safetensors")
"""Endings of files that are compressed already."""

Write = Callable[[str, bytes], None]


class ManifestEntry(BaseModel):
    """What the manifest says of a file.

    Attributes:
        sha256: of its content, hex.
        bytes: its size.
    """

    sha256: str = Field(pattern="[0-9a-f]{64}")
    bytes: int = Field(ge=0, le=MOST_FILE)


class BundleManifest(BaseModel):
    """``MANIFEST.json``.

    Attributes:
        files: by name.
    """

    files: dict[str, ManifestEntry]


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
        UserError: if ``out`` exists and is not an empty folder, or a file of the study is not what it should be.
        OSError: if it cannot be written, or a name leads out of it.
    """
    if out.exists() and (out.is_file() or any(out.iterdir())):
        raise UserError(f"{out} is there already. Give another --out, or take it away")
    out.parent.mkdir(parents=True, exist_ok=True)
    listed: dict[str, dict[str, Any]] = {}
    with (_zip if out.suffix == ".zip" else _folder)(out) as write:
        for name, read in files:
            refuse_way_out(name)
            try:
                content = read()
            except ValueError as error:
                raise UserError(
                    f"{name} of the study cannot be packed: {' '.join(str(error).split())[:300]}"
                ) from error
            write(name, content)
            listed[name] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        manifest = (json.dumps({"files": dict(sorted(listed.items()))}, indent=1, ensure_ascii=False) + "\n").encode()
        write(MANIFEST, manifest)
    total = sum(int(entry["bytes"]) for entry in listed.values())
    return BundleCheck(len(listed), total, hashlib.sha256(manifest).hexdigest())


def verify(bundle: Path) -> BundleCheck:
    """Check every file of a bundle against its manifest.

    Args:
        bundle: a zip file or a folder, which somebody else may have made.

    Raises:
        UserError: if there is no bundle, its manifest cannot be read, or it unpacks to more than the bound.
    """
    with opened(bundle) as files:
        if MANIFEST not in files.names:
            raise UserError(f"{bundle} has no {MANIFEST}: it is no bundle, or was not written to its end")
        content = files.read(MANIFEST, MOST_JSON)
        try:
            listed = BundleManifest.model_validate(load_json(content)).files
        except ValueError as error:
            raise UserError(f"{MANIFEST} of {bundle} cannot be read: {' '.join(str(error).split())[:300]}") from error
        faults = [*files.faults]
        faults += [f"missing: {name}" for name in listed if name not in files.names]
        faults += [f"not in the manifest: {name}" for name in sorted(files.names - {MANIFEST} - listed.keys())]
        for name in sorted(listed.keys() & files.names):
            found = files.digest(name, listed[name].bytes)
            if found != listed[name].sha256:
                faults.append(f"changed: {name}" + (f" ({found})" if " " in found else ""))
    total = sum(entry.bytes for entry in listed.values())
    return BundleCheck(len(listed), total, hashlib.sha256(content).hexdigest(), tuple(faults))


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

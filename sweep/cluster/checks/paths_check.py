"""Check that the files named by a cluster file exist here, and that the storage can be written to."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

from sweep.cluster.config.cluster_file import ClusterFile
from trainables.errors import UserError
from trainables.store.storage import Storage

PROJECT = "scenario-sweep"


def errors(file: ClusterFile) -> Iterator[str]:
    """Yield an error for each path that is missing or unsafe, and for what is missing for a connection."""
    yield from _mounts(file)
    yield from _connection(file)


def _mounts(file: ClusterFile) -> Iterator[str]:
    for there, here in file.section("file_mounts").items():
        source = Path(str(here)).expanduser()
        if str(there).endswith(".ray/auth_token"):
            continue  # see security_check
        if not source.exists():
            yield file.error(f"{here} does not exist (looked for {source.absolute()})", "file_mounts", str(there))
        elif str(there).rstrip("/").endswith(PROJECT) and not (source / "pyproject.toml").is_file():
            yield file.error(
                f"{source.absolute()} is not the project, it has no pyproject.toml: run this, and `ray up`, in its top folder",
                "file_mounts",
                str(there),
            )


def _connection(file: ClusterFile) -> Iterator[str]:
    auth, provider = file.section("auth"), file.section("provider")
    if not auth.get("ssh_user"):
        yield file.error("auth.ssh_user is missing: the user to log in as", "auth")
    key = auth.get("ssh_private_key")
    if key is not None:
        path = Path(str(key)).expanduser()
        if not path.is_file():
            yield file.error(f"no private key at {path}: ssh-keygen -t ed25519 -f {key}", "auth", "ssh_private_key")
        elif path.stat().st_mode & 0o077:
            yield file.error(
                f"the private key {path} can be read by others: chmod 600 {key}", "auth", "ssh_private_key"
            )
    if file.provider == "local":
        yield from _own_machines(file, provider, key)


def _own_machines(file: ClusterFile, provider: dict[str, object], key: object) -> Iterator[str]:
    if not provider.get("head_ip") or not isinstance(provider.get("worker_ips"), list):
        yield file.error("provider: head_ip and worker_ips are needed, the addresses of your machines", "provider")
    if any(host.startswith("192.0.2.") for host in file.hosts):
        yield file.error("provider: 192.0.2.* are example addresses: give those of your machines", "provider")
    if len(set(file.hosts)) != len(file.hosts):
        yield file.error("provider: an address is given twice", "provider")
    if key is None:
        yield file.error("auth.ssh_private_key is missing: the head starts the workers with it", "auth")
    workers = len(file.hosts) - 1
    for name in ("min_workers", "max_workers"):
        if file.value.get(name) != workers:
            yield file.error(
                f"{name} is {file.value.get(name)}, but there are {workers} worker_ips: all are to be used", name
            )


def storage_errors(location: str) -> Iterator[str]:
    """Write, read and delete a small file on a storage; yield an error for what does not work."""
    name = f".reached-{uuid.uuid4().hex[:12]}"
    try:
        storage = Storage(location)
        storage.write(name, b"reached")
        if storage.read(name) != b"reached":
            yield f"the storage {location} does not return what was written to it"
        storage.remove(name)
    except UserError as error:
        yield from error.faults
    except OSError as error:
        yield f"cannot write to the storage {location}: {error}"

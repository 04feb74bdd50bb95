"""A cluster file of ``ray up``, parsed with the line of every value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweep.grid.yaml_document import Document, parse
from sweep.grid.yaml_document import Path as Place
from trainables.errors import UserError

COMMANDS = ("initialization_commands", "setup_commands", "head_start_ray_commands", "worker_start_ray_commands")


@dataclass(frozen=True)
class ClusterFile:
    """A cluster file.

    Attributes:
        path: of the file.
        document: its content, with lines.
    """

    path: Path
    document: Document

    @property
    def value(self) -> dict[str, Any]:
        """Its content."""
        return self.document.value

    def section(self, name: str) -> dict[str, Any]:
        """Return a section; empty if it is absent or not a mapping."""
        found = self.value.get(name)
        return found if isinstance(found, dict) else {}

    def commands(self, name: str) -> str:
        """Return a list of commands, one per line."""
        found = self.value.get(name)
        return "\n".join(str(line) for line in found) if isinstance(found, list) else ""

    @property
    def provider(self) -> str:
        """Type of the node provider: ``aws``, ``local`` and so on."""
        return str(self.section("provider").get("type", ""))

    @property
    def node_types(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """The node types, with their names."""
        for name, kind in self.section("available_node_types").items():
            if isinstance(kind, dict):
                yield str(name), kind

    @property
    def head_type(self) -> str:
        """Name of the head's node type."""
        return str(self.value.get("head_node_type", ""))

    @property
    def hosts(self) -> list[str]:
        """Addresses of on-premise machines, the head first; empty for a cloud."""
        provider = self.section("provider")
        workers = provider.get("worker_ips") or []
        return [str(host) for host in [provider.get("head_ip"), *workers] if host] if self.provider == "local" else []

    def error(self, text: str, *place: str | int) -> str:
        """Return an error message with its line.

        Args:
            text: what is wrong.
            *place: keys and indices of the value in the file.
        """
        where: Place = tuple(place)
        return f"{self.document.where(where)}: {text}"


def read(path: str | Path) -> ClusterFile:
    """Read a cluster file.

    Raises:
        UserError: if it cannot be read, or is not a YAML mapping.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"cannot read the cluster file {path}: {error}. cluster.yaml and clusters/ssh.yaml are examples"
        ) from error
    return ClusterFile(Path(path), parse(text, str(path)))

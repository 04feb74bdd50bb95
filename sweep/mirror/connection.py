"""Whether W&B can be used: is there a key, and does the server accept it. Takes seconds; no error message holds the key."""

from __future__ import annotations

import base64
import http.client
import json
import netrc
import os
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

TIMEOUT_SECONDS = 5.0
CLOUD = "https://api.wandb.ai"
QUERY = "query Viewer { viewer { id entity username } }"


@dataclass(frozen=True)
class ServerReply:
    """The server's answer to the question whose key it is.

    Attributes:
        entity: user or team that the key belongs to; None if the server cannot be used.
        key: whether there is a key that the server did not refuse.
        why: why the server cannot be used, for people; empty if it can.
    """

    entity: str | None
    key: bool
    why: str = ""


def server() -> str:
    """Return the address of the server: of ``WANDB_BASE_URL``, of the client's settings file, or the public cloud."""
    return (os.environ.get("WANDB_BASE_URL") or _configured() or CLOUD).rstrip("/")


def app_url(entity: str, project: str, *rest: str) -> str:
    """Return the address of a page in the dashboard.

    Args:
        entity: user or team.
        project: of W&B.
        *rest: further parts of the path, e.g. ``"runs", run``.
    """
    base = os.environ.get("WANDB_APP_URL") or server().replace("://api.wandb.", "://wandb.")
    return "/".join([base.rstrip("/"), entity, project, *rest])


def ask_server() -> ServerReply:
    """Ask the server whose key it is. Takes at most a few seconds and raises nothing."""
    key = _key()
    if key is None:
        return ServerReply(None, False, "no key is configured (`wandb login`, or WANDB_API_KEY)")
    try:
        viewer = _viewer(key)
    except urllib.error.HTTPError as error:
        return ServerReply(None, error.code not in (401, 403), f"{server()} answers {error.code}")
    except (OSError, http.client.HTTPException) as error:
        return ServerReply(None, True, f"{server()} does not answer ({type(error).__name__})")
    except (ValueError, KeyError, TypeError):
        return ServerReply(None, True, f"{server()} does not answer as W&B does, or is not a valid address")
    if not viewer:
        return ServerReply(None, False, f"{server()} does not know the key")
    return ServerReply(viewer.get("entity") or viewer.get("username"), True)


def _viewer(key: str) -> dict[str, Any] | None:
    """Ask whose key it is. The key is sent to this server only, even if its answer redirects."""
    request = urllib.request.Request(  # noqa: S310 - the user's own server
        f"{server()}/graphql",
        json.dumps({"query": QUERY, "operationName": "Viewer"}).encode(),
        {"Content-Type": "application/json"},
    )
    secret = base64.b64encode(f"api:{key}".encode()).decode()
    request.add_unredirected_header("Authorization", f"Basic {secret}")
    with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310
        viewer: dict[str, Any] | None = json.load(answer)["data"]["viewer"]
    return viewer


def _key() -> str | None:
    """The key that the client would use: of the environment, or of the netrc file."""
    if key := os.environ.get("WANDB_API_KEY"):
        return key
    file = Path(os.environ.get("NETRC") or Path("~/.netrc").expanduser())
    try:
        entry = netrc.netrc(file).authenticators(urlsplit(server()).hostname or "")
    except (OSError, ValueError, netrc.NetrcParseError):  # not text, not an address, no such file
        return None
    return entry[2] if entry else None


def _configured() -> str | None:
    """``base_url`` in the client's settings file, which ``wandb login --host`` writes."""
    folder = Path(os.environ.get("WANDB_CONFIG_DIR") or Path("~/.config/wandb").expanduser())
    try:
        lines = (folder / "settings").read_text(errors="replace").splitlines()
    except OSError:
        return None
    pairs = (line.partition("=") for line in lines)
    return next((value.strip() for name, _, value in pairs if name.strip() == "base_url"), None)

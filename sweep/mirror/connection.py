"""Whether W&B can be reached: is there a key, and does the server take it. Quick, and never with the key in an error."""

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

ANSWER_SECONDS = 5.0
CLOUD = "https://api.wandb.ai"
QUERY = "query Viewer { viewer { id entity username } }"


@dataclass(frozen=True)
class ServerReply:
    """What came of asking the server.

    Attributes:
        entity: the user or team that the key belongs to; None where the server could not be used.
        key: whether there is a key, and the server did not refuse it.
        why: why the server could not be used, for people.
    """

    entity: str | None
    key: bool
    why: str = ""


def server() -> str:
    """Return the address of the server, by the variable or the settings file of the client."""
    return (os.environ.get("WANDB_BASE_URL") or _configured() or CLOUD).rstrip("/")


def app_url(entity: str, project: str, *rest: str) -> str:
    """Return the address of a page in the dashboard."""
    base = os.environ.get("WANDB_APP_URL") or server().replace("://api.wandb.", "://wandb.")
    return "/".join([base.rstrip("/"), entity, project, *rest])


def ask() -> ServerReply:
    """Ask the server whose key it is. Takes a few seconds at most, and raises nothing."""
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
        return ServerReply(None, True, f"{server()} answers nothing that W&B would, or is no address")
    if not viewer:
        return ServerReply(None, False, f"{server()} does not know the key")
    return ServerReply(viewer.get("entity") or viewer.get("username"), True)


def _viewer(key: str) -> dict[str, Any] | None:
    """Ask whose key it is; the key goes to this server alone, whatever other address the answer points at."""
    request = urllib.request.Request(  # noqa: S310 - the user's own server
        f"{server()}/graphql",
        json.dumps({"query": QUERY, "operationName": "Viewer"}).encode(),
        {"Content-Type": "application/json"},
    )
    secret = base64.b64encode(f"api:{key}".encode()).decode()
    request.add_unredirected_header("Authorization", f"Basic {secret}")
    with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as answer:  # noqa: S310
        viewer: dict[str, Any] | None = json.load(answer)["data"]["viewer"]
    return viewer


def _key() -> str | None:
    """The key that the client would take: of the environment, or of the netrc file."""
    if key := os.environ.get("WANDB_API_KEY"):
        return key
    file = Path(os.environ.get("NETRC") or Path("~/.netrc").expanduser())
    try:
        entry = netrc.netrc(file).authenticators(urlsplit(server()).hostname or "")
    except (OSError, ValueError, netrc.NetrcParseError):  # no text, no address, no such file
        return None
    return entry[2] if entry else None


def _configured() -> str | None:
    """``base_url`` of the client's settings file, which ``wandb login --host`` writes."""
    folder = Path(os.environ.get("WANDB_CONFIG_DIR") or Path("~/.config/wandb").expanduser())
    try:
        lines = (folder / "settings").read_text(errors="replace").splitlines()
    except OSError:
        return None
    pairs = (line.partition("=") for line in lines)
    return next((value.strip() for name, _, value in pairs if name.strip() == "base_url"), None)

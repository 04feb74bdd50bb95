"""The token of a cluster: whoever has it has the cluster."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path

TOKEN_FILE = "~/.ray/auth_token"  # noqa: S105 - its place, where Ray looks for it
LEAST_CHARACTERS = 32


def make_token(path: Path | None = None) -> Path:
    """Make a token where there is none, readable by its owner alone (Ray makes it readable by all); return its file."""
    file = path or Path(TOKEN_FILE).expanduser()
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        file.chmod(0o600)
        return file
    with os.fdopen(descriptor, "w") as stream:
        stream.write(secrets.token_hex(32))
    return file


def faults_of_token(file: Path) -> Iterator[str]:
    """Tell what is wrong with a token file."""
    how = "`python -m sweep.cluster token` makes one, or mends its mode"
    try:
        content, mode = file.read_text().strip(), file.stat().st_mode & 0o777
    except OSError as error:
        yield f"no token at {file} ({error.strerror}): {how}"
        return
    if mode & 0o077:
        yield f"the token {file} can be read by others (mode {mode:04o}): {how}"
    if len(content) < LEAST_CHARACTERS or not re.fullmatch(r"[\w.~+/=-]+", content):
        yield f"the token {file} is no token of {LEAST_CHARACTERS} characters or more: delete it; {how}"


def own_token() -> dict[str, str]:
    """Return the environment in which Ray uses the token that is at hand; empty where there is none."""
    if os.environ.get("RAY_AUTH_TOKEN"):
        return {"RAY_AUTH_MODE": "token"}
    file = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or TOKEN_FILE).expanduser()
    return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(file)} if file.is_file() else {}

"""The authentication token of a Ray cluster: whoever has it can run anything on the cluster."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path

TOKEN_FILE = "~/.ray/auth_token"  # noqa: S105 - where Ray looks for it
MIN_CHARS = 32


def make_token(path: Path | None = None) -> Path:
    """Create a token file if there is none, and make it readable by its owner only (Ray leaves it readable by all).

    Args:
        path: of the file; None: where Ray looks for it.

    Returns:
        path of the file.
    """
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


def token_errors(file: Path) -> Iterator[str]:
    """Yield an error message for everything that is wrong with a token file."""
    fix = "`python -m sweep.cluster token` creates one, or corrects its mode"
    try:
        content, mode = file.read_text(encoding="utf-8").strip(), file.stat().st_mode & 0o777
    except OSError as error:
        yield f"no token at {file} ({error.strerror}): {fix}"
        return
    if mode & 0o077:
        yield f"the token {file} can be read by others (mode {mode:04o}): {fix}"
    if len(content) < MIN_CHARS or not re.fullmatch(r"[\w.~+/=-]+", content):
        yield f"the token {file} is not a token of {MIN_CHARS} characters or more: delete it; {fix}"


def own_token() -> dict[str, str]:
    """Return the environment variables with which Ray uses this user's token; empty if there is none."""
    if os.environ.get("RAY_AUTH_TOKEN"):
        return {"RAY_AUTH_MODE": "token"}
    file = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or TOKEN_FILE).expanduser()
    return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(file)} if file.is_file() else {}

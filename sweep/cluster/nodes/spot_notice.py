"""Pass AWS's notice, two minutes before it takes a spot node away, to Ray: the node's stages save and move elsewhere."""

from __future__ import annotations

import calendar
import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

from sweep.compat.ray import alive_nodes, drain_node, this_node_address

METADATA = "http://169.254.169.254"
"""EC2's instance metadata service; ``AWS_EC2_METADATA_SERVICE_ENDPOINT`` overrides it, as for AWS's own tools."""
POLL_SECONDS = 5.0
"""As AWS recommends."""
TIMEOUT_SECONDS = 2.0
TOKEN_SECONDS = 21600
NOTICE_SECONDS = 120.0
"""Time left if the notice does not say."""


class Metadata:
    """Client of the instance metadata service, version 2; its session token is renewed before it expires."""

    def __init__(self, endpoint: str | None = None) -> None:
        """Create a client.

        Args:
            endpoint: address of the service; None: that of the environment, or of every EC2 node.
        """
        self._endpoint = (endpoint or os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT") or METADATA).rstrip("/")
        self._token, self._expires = "", 0.0

    def notice(self) -> float | None:
        """Return the time (seconds since 1970) at which this node will be taken away; None if no notice was given.

        Raises:
            OSError: if nothing answers there.
        """
        try:
            notice = json.loads(self._get("/latest/meta-data/spot/instance-action"))
        except urllib.error.HTTPError as error:
            if error.code == 401:  # the token was refused: a new one next time
                self._expires = 0.0
            if error.code in (401, 404):
                return None
            raise
        return _taken_at(notice)

    def _get(self, path: str) -> bytes:
        if time.monotonic() >= self._expires:
            lifetime = {"X-aws-ec2-metadata-token-ttl-seconds": str(TOKEN_SECONDS)}
            self._token = self._ask("PUT", "/latest/api/token", lifetime).decode()
            self._expires = time.monotonic() + TOKEN_SECONDS / 2
        return self._ask("GET", path, {"X-aws-ec2-metadata-token": self._token})

    def _ask(self, method: str, path: str, headers: dict[str, str]) -> bytes:
        request = urllib.request.Request(self._endpoint + path, headers=headers, method=method)  # noqa: S310 - http
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310
            return bytes(answer.read())


def _taken_at(notice: Any) -> float:
    try:
        return float(calendar.timegm(time.strptime(notice["time"], "%Y-%m-%dT%H:%M:%SZ")))
    except (KeyError, TypeError, ValueError):
        return time.time() + NOTICE_SECONDS


def watch(
    metadata: Metadata, drain: Callable[[float], None], echo: Callable[[str], Any], every: float = POLL_SECONDS
) -> None:
    """Wait for the notice, then have the node drained; return when Ray has accepted that.

    Args:
        metadata: polled for the notice.
        drain: called with the time at which the node will be taken away, and again if it raises.
        echo: prints a line. A repeated error is printed once.
        every: interval of polling, seconds.
    """
    printed = ""
    while True:
        try:
            taken = metadata.notice()
            if taken is not None:
                drain(taken)
                echo(f"this node will be taken away in {taken - time.time():.0f} s: Ray drains it")
                return
        except Exception as error:  # noqa: BLE001 - it may pass; a process that ended would miss the notice
            message = f"{type(error).__name__}: {error}"
            if message != printed:
                echo(message)
            printed = message
        time.sleep(every)


def drain_here(address: str, taken: float) -> None:
    """Have Ray drain the nodes on this machine.

    Args:
        address: of the cluster.
        taken: time at which the machine will be taken away, seconds since 1970.

    Raises:
        RuntimeError: if no node of the cluster is on this machine, or Ray refuses to drain it.
        Exception: Ray's, if the cluster does not answer.
    """
    here = this_node_address()
    nodes = [node_id for node_id, node_address in alive_nodes(address).items() if node_address == here]
    if not nodes:
        raise RuntimeError(f"no node of the cluster at {address} runs on this machine ({here})")
    for node_id in nodes:
        drain_node(address, node_id, taken)

"""The notice that AWS gives two minutes before it takes a spot node back, told to Ray: the node's stages save, and move."""

from __future__ import annotations

import calendar
import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

METADATA = "http://169.254.169.254"
"""Where EC2 tells a node about itself; ``AWS_EC2_METADATA_SERVICE_ENDPOINT`` names another place, as for AWS's own tools."""
POLL_SECONDS = 5.0
"""As AWS advises. One second more is one less to save in."""
ANSWER_SECONDS = 2.0
TOKEN_SECONDS = 21600
UNTIL_TAKEN = 120.0
"""Seconds that are left where the notice does not say."""


class Metadata:
    """What EC2 tells of this node, by its second protocol: with a token that is fetched anew before it expires."""

    def __init__(self, endpoint: str | None = None) -> None:
        """Ask the endpoint, or the one of every EC2 node."""
        self._endpoint = (endpoint or os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT") or METADATA).rstrip("/")
        self._token, self._expires = "", 0.0

    def notice(self) -> float | None:
        """Return the time (seconds since 1970) at which this node will be taken; None: as far as is known, it will not.

        Raises:
            OSError: if nothing answers there.
        """
        try:
            answer = json.loads(self._get("/latest/meta-data/spot/instance-action"))
        except urllib.error.HTTPError as error:
            if error.code == 401:  # the token was not taken: a new one next time
                self._expires = 0.0
            if error.code in (401, 404):
                return None
            raise
        return _seconds(answer)

    def _get(self, path: str) -> bytes:
        if time.monotonic() >= self._expires:
            lifetime = {"X-aws-ec2-metadata-token-ttl-seconds": str(TOKEN_SECONDS)}
            self._token = self._ask("PUT", "/latest/api/token", lifetime).decode()
            self._expires = time.monotonic() + TOKEN_SECONDS / 2
        return self._ask("GET", path, {"X-aws-ec2-metadata-token": self._token})

    def _ask(self, method: str, path: str, headers: dict[str, str]) -> bytes:
        request = urllib.request.Request(self._endpoint + path, headers=headers, method=method)  # noqa: S310 - http
        with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as answer:  # noqa: S310
            return bytes(answer.read())


def _seconds(notice: Any) -> float:
    try:
        return float(calendar.timegm(time.strptime(notice["time"], "%Y-%m-%dT%H:%M:%SZ")))
    except (KeyError, TypeError, ValueError):
        return time.time() + UNTIL_TAKEN


def watch(
    metadata: Metadata, drain: Callable[[float], None], say: Callable[[str], Any], every: float = POLL_SECONDS
) -> None:
    """Wait for the notice, then have the node drained; return when that is accepted.

    Args:
        metadata: is asked.
        drain: is given the time at which the node will be taken. What it raises is told, and it is called again.
        say: is told what happens; what goes on and on is told once.
        every: so many seconds.
    """
    told = ""
    while True:
        try:
            taken = metadata.notice()
            if taken is not None:
                drain(taken)
                say(f"this node will be taken in {taken - time.time():.0f} s: Ray drains it")
                return
        except Exception as error:  # noqa: BLE001 - a watcher that ends sees nothing; whatever Ray calls it, it may pass
            trouble = f"{type(error).__name__}: {error}"
            if trouble != told:
                say(trouble)
            told = trouble
        time.sleep(every)


def drain_here(address: str, taken: float) -> None:
    """Tell Ray that this machine will be taken: nothing more starts on it.

    Raises:
        RuntimeError: if no node of Ray runs here, or Ray does not accept it.
        Exception: Ray's, if the cluster does not answer.
    """
    from ray._private.services import canonicalize_bootstrap_address, get_node_ip_address
    from ray._raylet import GcsClient  # type: ignore[attr-defined]
    from ray.core.generated import autoscaler_pb2

    found = canonicalize_bootstrap_address(address)
    if not found or found == "local":
        raise RuntimeError(f"no cluster at {address}")
    gcs, here = GcsClient(address=found), get_node_ip_address()  # type: ignore[no-untyped-call]
    nodes = [
        node_id.hex()
        for node_id, node in gcs.get_all_node_info(timeout=10.0).items()
        if node.state == 0 and node.node_manager_address == here  # 0: alive
    ]
    if not nodes:
        raise RuntimeError(f"no node of the cluster at {found} is at {here}")
    reason = autoscaler_pb2.DRAIN_NODE_REASON_PREEMPTION  # type: ignore[attr-defined]
    for node_id in nodes:
        accepted, why = gcs.drain_node(node_id, reason, "spot notice", int(taken * 1000))
        if not accepted:
            raise RuntimeError(f"Ray does not drain {node_id}: {why}")

"""A local server that speaks what the W&B client asks: GraphQL by name of the operation, file stream, uploads.

Faults can be injected. An operation it does not know is written down, and fails the test that used it.
"""

from __future__ import annotations

import base64
import json
import re
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.sweep.mirror.wandb_operations import DeletedError, Operations

KEY = "b0b" + "7" * 37
STREAM = re.compile(r"^/files/[^/]+/[^/]+/([^/]+)/file_stream$")


@dataclass
class Fault:
    """What goes wrong with requests whose operation or path contains ``where``."""

    where: str
    status: int = 200
    times: int = 10**9
    seconds: float = 0.0
    headers: dict[str, str] = field(default_factory=dict)


class WandbServer(Operations):
    """The server; a context manager."""

    def __init__(self) -> None:
        super().__init__("team")
        self.asked: Counter[str] = Counter()
        self.unknown: list[str] = []
        self.faults: list[Fault] = []
        self.dead = False
        self.lock = threading.RLock()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = True
        self._http.handle_error = lambda *_: None  # type: ignore[method-assign]
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"

    def __enter__(self) -> WandbServer:
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()

    def fault(self, name: str) -> Fault | None:
        """The fault that a request meets, if any."""
        with self.lock:
            for fault in self.faults:
                if fault.times > 0 and fault.where in name:
                    fault.times -= 1
                    return fault
        return None

    def answer(self, method: str, path: str, body: bytes, key: str | None) -> tuple[int, Any, dict[str, str]]:
        """Answer a request: status, content, headers."""
        document = json.loads(body) if path == "/graphql" else {}
        name = _operation(document) if path == "/graphql" else path
        self.asked[_short(name)] += 1
        if (fault := self.fault(name)) is not None:
            time.sleep(fault.seconds)
            if fault.status != 200:
                return fault.status, {"errors": [{"message": "injected"}]}, fault.headers
        if path == "/graphql" and key != KEY:
            return 401, {"errors": [{"message": "invalid key"}]}, {}
        with self.lock:
            return self._known(method, path, name, document, body)

    def _known(
        self, method: str, path: str, name: str, document: dict[str, Any], body: bytes
    ) -> tuple[int, Any, dict[str, str]]:
        if path == "/graphql":
            operation = getattr(self, re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower(), None)
            if operation is None:
                self.unknown.append(name)
                return 400, {"errors": [{"message": f"unknown operation {name}"}]}, {}
            try:
                return 200, {"data": operation(document.get("variables") or {})}, {}
            except DeletedError as error:
                message = f"run {error} was previously created and deleted; try a new run name"
                return 409, {"errors": [{"message": message}]}, {}
        if stream := STREAM.match(path):
            return 200, self.file_stream(stream.group(1), json.loads(body)), {}
        if path.startswith("/storage/") and method == "PUT":
            self.files[path.removeprefix("/storage/")] = body
            return 200, {}, {}
        self.unknown.append(f"{method} {path}")
        return 404, {}, {}


def _operation(document: dict[str, Any]) -> str:
    found = re.search(r"(?:query|mutation)\s+(\w+)", document["query"])
    return found.group(1) if found else "anonymous"


def _short(name: str) -> str:
    return "file_stream" if STREAM.match(name) else "upload" if name.startswith("/storage/") else name


def _handler(server: WandbServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None: ...

        def _body(self) -> bytes:
            if "chunked" not in self.headers.get("Transfer-Encoding", ""):
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = b""
            while length := int(self.rfile.readline(), 16):
                body += self.rfile.read(length)
                self.rfile.readline()
            self.rfile.readline()
            return body

        def do_POST(self) -> None:
            body = self._body()
            _, _, secret = self.headers.get("Authorization", "").partition("Basic ")
            key = base64.b64decode(secret).decode().partition(":")[2] if secret else None
            if server.dead:
                self.close_connection = True
                self.connection.close()
                return
            status, content, headers = server.answer(self.command, self.path, body, key)
            payload = json.dumps(content).encode()
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        do_PUT = do_GET = do_POST  # noqa: N815

    return Handler

"""An object store for tests: moto's server as a process of its own, that can refuse, stand still, and lose a bucket."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import boto3
import pytest

BUCKET = "studies-of-a-test"


@dataclass
class S3Double:
    """A running server, and what a command needs to find it."""

    port: int
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        return kept | {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_ACCESS_KEY_ID": "one",
            "AWS_SECRET_ACCESS_KEY": "of a test",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def lead(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Set the variables that lead this process to the server."""
        for name, value in self.environment.items():
            if name.startswith("AWS_"):
                monkeypatch.setenv(name, value)

    @property
    def uri(self) -> str:
        """A URI that needs no environment but the keys."""
        return f"s3://{BUCKET}/studies?endpoint_override=127.0.0.1:{self.port}&scheme=http&region=us-east-1"

    @cached_property
    def client(self) -> Any:
        return boto3.client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{self.port}",
            aws_access_key_id="one",
            aws_secret_access_key="of a test",  # noqa: S106 - of a double
            region_name="us-east-1",
        )

    def keys(self, prefix: str = "") -> dict[str, tuple[str, str]]:
        """Return the objects below a prefix -> what changes whenever they are written."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        found = [one for page in pages for one in page.get("Contents", [])]
        return {one["Key"]: (one["ETag"], str(one["LastModified"])) for one in found if not one["Key"].endswith("/")}

    def read(self, key: str) -> bytes:
        return bytes(self.client.get_object(Bucket=BUCKET, Key=key)["Body"].read())

    def requests(self, *words: str) -> int:
        """Count the requests whose line in the server's log has all these words."""
        return sum(all(word in line for word in words) for line in self.log.read_text().splitlines())

    def refuse(self) -> None:
        """From now on no key is known."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/moto-api/reset-auth",
            data=b"0",
            headers={"Content-Type": "text/plain"},
            method="POST",
        )
        urllib.request.urlopen(request, timeout=10).close()  # noqa: S310 - an address of this machine

    def lose(self) -> dict[str, bytes]:
        """Delete the bucket; return all that was in it."""
        lost: dict[str, bytes] = {}
        while True:
            try:
                for key in self.keys():
                    lost[key] = self.read(key)
                    self.client.delete_object(Bucket=BUCKET, Key=key)
                for page in self.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
                    for one in page.get("Contents", []):
                        self.client.delete_object(Bucket=BUCKET, Key=one["Key"])
                self.client.delete_bucket(Bucket=BUCKET)
            except self.client.exceptions.ClientError:  # written to in the meantime
                continue
            return lost

    def give_back(self, lost: dict[str, bytes]) -> None:
        self.client.create_bucket(Bucket=BUCKET)
        for key, content in lost.items():
            self.client.put_object(Bucket=BUCKET, Key=key, Body=content)

    @contextmanager
    def standing_still(self) -> Iterator[None]:
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)


@contextmanager
def s3_double(folder: Path) -> Iterator[S3Double]:
    """Start a server with an empty bucket."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = int(found.getsockname()[1])
    log = folder / "s3.log"
    command = [str(Path(sys.executable).with_name("moto_server")), "-H", "127.0.0.1", "-p", str(port)]
    with log.open("wb") as stream, subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT) as process:
        double = S3Double(port, process, log)
        try:
            until = time.monotonic() + 60
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                except OSError:
                    assert time.monotonic() < until, log.read_text()
                    time.sleep(0.05)
            double.client.create_bucket(Bucket=BUCKET)
            yield double
        finally:
            process.kill()

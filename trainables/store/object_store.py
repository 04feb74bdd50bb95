"""S3 and compatible object stores: opening one as a pyarrow file system, and plain explanations of its errors."""

from __future__ import annotations

import os
import re
from urllib.parse import parse_qsl, unquote, urlsplit

from pyarrow import fs

from trainables.errors import UserError, suggestion

OPTIONS = ("region", "scheme", "endpoint_override", "tls_ca_file_path")
"""Options that the query part of a URI may have."""
ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
"""Environment variables that name an endpoint other than Amazon's, as for AWS's own tools. The first has precedence."""
ATTEMPTS = 6
"""Tries of a request: 10 to 30 s with the pauses between them, time for a store to recover. (Pyarrow's 3 take 1 s.)"""

NO_BUCKET = "the bucket does not exist: {bucket}"
_MEANINGS = (
    ("NO_SUCH_BUCKET", NO_BUCKET),
    (
        "INVALID_ACCESS_KEY_ID|SIGNATURE|TOKEN|ACCESS_DENIED|HTTP status 403|HTTP status 401",
        "{bucket} denies access. {keys}",
    ),
    ("NETWORK_CONNECTION|REQUEST_TIMEOUT|SERVICE_UNAVAILABLE|SLOW_DOWN|HTTP status 5", "{bucket} does not answer"),
)
_KEYS = "Credentials come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, ~/.aws/credentials, or the node's role"


def open_s3(location: str) -> tuple[fs.FileSystem, str]:
    """Open an S3 URI.

    Args:
        location: ``s3://bucket/path?option=value``; the options are ``OPTIONS``.

    Returns:
        the file system, and the path in it: the bucket first.

    Raises:
        UserError: if the URI holds credentials, an unknown option, or no bucket.
        OSError: if the region of the bucket cannot be determined.
    """
    parts = urlsplit(location)
    bucket = parts.netloc
    if "@" in bucket:
        raise UserError(
            f"the storage s3://…@{bucket.rpartition('@')[2]} holds credentials, which would end up in logs. {_KEYS}"
        )
    if not bucket:
        raise UserError(f"the storage {location} names no bucket")
    options = dict(parse_qsl(parts.query))
    if unknown := [name for name in options if name not in OPTIONS]:
        raise UserError(f"the storage {location} has an unknown option {unknown[0]}{suggestion(unknown[0], OPTIONS)}")
    options = with_endpoint(options)
    if "region" not in options and "endpoint_override" not in options:
        options["region"] = fs.resolve_s3_region(bucket)
    retries = fs.AwsStandardS3RetryStrategy(max_attempts=ATTEMPTS)
    # Delayed: a small file is then one request (a put is atomic), not the three of a multi-part upload.
    file_system = fs.S3FileSystem(**options, allow_delayed_open=True, retry_strategy=retries)
    return file_system, bucket + unquote(parts.path).rstrip("/")


def with_endpoint(options: dict[str, str]) -> dict[str, str]:
    """Return the options of a URI, with the endpoint of the environment unless they name one."""
    url = next((os.environ[name] for name in ENDPOINTS if os.environ.get(name)), None)
    if url is not None and "endpoint_override" not in options:
        scheme, _, place = url.rstrip("/").rpartition("://")
        return {**options, "endpoint_override": place, "scheme": scheme or "https"}
    return options


def explanation(error: OSError, bucket: str) -> str:
    """Return what an error of the object store means, with its own message.

    Args:
        error: as pyarrow raised it.
        bucket: its name.
    """
    # Request ids are cut out: errors are grouped by their text.
    message = re.sub(r" \(Request ID: [^)]*\)|^When .*?: (?=AWS Error)", "", str(error))
    for pattern, words in _MEANINGS:
        if re.search(pattern, message):
            return f"{words.format(bucket=f's3://{bucket}', keys=_KEYS)} ({message})"
    return message

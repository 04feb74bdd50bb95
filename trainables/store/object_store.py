"""S3, and what speaks like it, as a file system: how it is opened, and what its errors mean in plain words."""

from __future__ import annotations

import os
import re
from urllib.parse import parse_qsl, unquote, urlsplit

from pyarrow import fs

from trainables.errors import UserError, suggestion

OPTIONS = ("region", "scheme", "endpoint_override", "tls_ca_file_path")
"""What a URI may say after its question mark."""
ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
"""Where another place than Amazon's is named, for all of AWS's own tools too. The first goes before the second."""
ATTEMPTS = 6
"""At a request; with the pauses between them 10 to 30 s, in which a storage may come back. (Pyarrow's own 3 are 1 s.)"""

NO_BUCKET = "the bucket does not exist: {bucket}"
_MEANINGS = (
    ("NO_SUCH_BUCKET", NO_BUCKET),
    (
        "INVALID_ACCESS_KEY_ID|SIGNATURE|TOKEN|ACCESS_DENIED|HTTP status 403|HTTP status 401",
        "{bucket} refuses us. {keys}",
    ),
    ("NETWORK_CONNECTION|REQUEST_TIMEOUT|SERVICE_UNAVAILABLE|SLOW_DOWN|HTTP status 5", "{bucket} does not answer"),
)
_KEYS = "Who we are comes from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, ~/.aws/credentials, or the node's own role"


def open_s3(location: str) -> tuple[fs.FileSystem, str]:
    """Return the file system of an URI, and the path in it.

    Raises:
        UserError: if the URI holds keys, or options that are not known.
        OSError: if the region of the bucket cannot be found out.
    """
    parts = urlsplit(location)
    bucket = parts.netloc
    if "@" in bucket:
        raise UserError(f"the storage s3://…@{bucket.rpartition('@')[2]} holds keys, which would end in logs. {_KEYS}")
    if not bucket:
        raise UserError(f"the storage {location} names no bucket")
    options = dict(parse_qsl(parts.query))
    if unknown := [name for name in options if name not in OPTIONS]:
        raise UserError(f"the storage {location} has an unknown option {unknown[0]}{suggestion(unknown[0], OPTIONS)}")
    _elsewhere(options)
    if "region" not in options and "endpoint_override" not in options:
        options["region"] = fs.resolve_s3_region(bucket)
    patient = fs.AwsStandardS3RetryStrategy(max_attempts=ATTEMPTS)
    # Delayed: what is small is one request (a put is atomic), not the three of an upload in parts.
    return fs.S3FileSystem(**options, allow_delayed_open=True, retry_strategy=patient), bucket + unquote(
        parts.path
    ).rstrip("/")


def _elsewhere(options: dict[str, str]) -> None:
    """Take over the place that the environment names, where the URI names none."""
    url = next((os.environ[name] for name in ENDPOINTS if os.environ.get(name)), None)
    if url is not None and "endpoint_override" not in options:
        scheme, _, place = url.rstrip("/").rpartition("://")
        options |= {"endpoint_override": place, "scheme": scheme or "https"}


def meaning(error: OSError, bucket: str) -> str:
    """Say in plain words what an error of the object store means, with the code that it gave."""
    # What differs from request to request is left out: errors are grouped, and told apart, by their text.
    said = re.sub(r" \(Request ID: [^)]*\)|^When .*?: (?=AWS Error)", "", str(error))
    for pattern, words in _MEANINGS:
        if re.search(pattern, said):
            return f"{words.format(bucket=f's3://{bucket}', keys=_KEYS)} ({said})"
    return said

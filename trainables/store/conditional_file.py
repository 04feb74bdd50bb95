"""A file on S3 that is written only if nobody else wrote it in the meantime: the conditional puts of boto3.

Pyarrow's S3, which is all other storage of this project, has no conditional put. So this is used where boto3 is installed
(the extra ``cluster``), and where the server honours the conditions, which ``is_honoured`` finds out.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from trainables.errors import StorageError
from trainables.store.object_store import ATTEMPTS, with_endpoint

REFUSED = ("PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey", "412", "409", "404")
"""Codes of an answer that says: it is not as you think."""
_NEVER = f'"{"0" * 32}"'
"""A tag that no content has."""


class ConditionalFile:
    """One file of a bucket, written on the condition that it is still as it was last seen."""

    def __init__(self, uri: str) -> None:
        """Open it. Nothing is created.

        Args:
            uri: ``s3://bucket/path?option=value``, as ``Storage.path`` returns it.
        """
        import boto3
        from botocore.config import Config

        parts = urlsplit(uri)
        options = with_endpoint(dict(parse_qsl(parts.query)))
        endpoint = options.get("endpoint_override")
        self._place = {"Bucket": parts.netloc, "Key": unquote(parts.path).strip("/")}
        self._client: Any = boto3.client(
            "s3",
            region_name=options.get("region"),
            endpoint_url=f"{options.get('scheme', 'https')}://{endpoint}" if endpoint else None,
            verify=options.get("tls_ca_file_path"),
            config=Config(
                retries={"max_attempts": ATTEMPTS, "mode": "standard"},
                s3={"addressing_style": "path"} if endpoint else None,
            ),
        )

    def tag(self) -> str | None:
        """Return what tells this content from any other; None if there is no file.

        Raises:
            StorageError: if the server denies access or does not answer.
        """
        answer = self._ask("head_object")
        return None if answer is None else str(answer["ETag"])

    def write(self, content: bytes, tag: str | None) -> str | None:
        """Write it if it still has a tag.

        Args:
            content: its bytes.
            tag: as ``tag`` returned it; None: only if there is no file.

        Returns:
            its new tag; None if it was not written, because somebody else wrote or removed it.

        Raises:
            StorageError: if the server denies access or does not answer.
        """
        condition = {"IfNoneMatch": "*"} if tag is None else {"IfMatch": tag}
        answer = self._ask("put_object", Body=content, **condition)
        return None if answer is None else str(answer["ETag"])

    def is_honoured(self, content: bytes) -> bool:
        """Return whether the server heeds the conditions, by two writes that it must refuse.

        Args:
            content: that the file has now, and will have if the server is of no use.
        """
        return self.write(content, None) is None and self.write(content, _NEVER) is None

    def _ask(self, operation: str, **arguments: Any) -> Any:
        """Return the answer; None if the condition does not hold."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return getattr(self._client, operation)(**self._place, **arguments)
        except ClientError as error:
            if error.response["Error"]["Code"] in REFUSED:
                return None
            raise StorageError(str(error)) from error
        except BotoCoreError as error:
            raise StorageError(str(error)) from error


def conditional_file(uri: str) -> ConditionalFile | None:
    """Open a file for conditional writes; None if its storage is not S3 or boto3 is not installed.

    Args:
        uri: as ``Storage.path`` returns it.

    Raises:
        StorageError: if boto3 finds no credentials or region.
    """
    if not uri.startswith("s3://") or find_spec("boto3") is None:
        return None
    from botocore.exceptions import BotoCoreError

    try:
        return ConditionalFile(uri)
    except (BotoCoreError, ValueError) as error:
        raise StorageError(str(error)) from error

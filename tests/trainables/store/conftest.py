"""An object store for the tests of this room."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.s3_double import S3Double


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Double]:
    """A running server; skipped where moto is not installed."""
    pytest.importorskip("moto")
    from tests.s3_double import s3_double

    with s3_double(tmp_path_factory.mktemp("s3")) as double:
        yield double

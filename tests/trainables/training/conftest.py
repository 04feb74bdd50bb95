"""The images that the tests of training share."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.trainables.support.training_bench import make_coloured
from trainables.data.packing.prepare import Packed


@pytest.fixture(scope="session")
def coloured(in_memory: Callable[..., Packed]) -> Packed:
    """60 images of three classes: noise about a red, a green, a blue."""
    return make_coloured(in_memory)

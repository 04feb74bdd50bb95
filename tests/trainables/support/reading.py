"""What a reader lists, and how it refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trainables.data.readers.base import Listing
from trainables.errors import UserError

Spec = Callable[..., Any]
Write = Callable[..., Path]


def scanned(listing: Listing) -> dict[str, tuple[str, str | None, str | None]]:
    return {item.image_id: (item.label, item.group, item.part) for item in listing.items}


def refused(spec: Any, root: Path, *words: str) -> str:
    """Check that a scan is refused with a message that holds all the words; return it."""
    with pytest.raises(UserError) as caught:
        spec.scan(root)
    missing = [word for word in words if word not in str(caught.value)]
    assert not missing, f"{missing} not in: {caught.value}"
    return str(caught.value)

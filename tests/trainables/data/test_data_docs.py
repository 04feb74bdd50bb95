"""The page on one's own data: its YAML is read, and the messages it quotes are those of the code."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from trainables.data.readers.base import readers

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
FILES = [*sorted((ROOT / "trainables" / "data").rglob("*.py")), ROOT / "trainables" / "errors.py"]
SOURCE = "\n".join(file.read_text(encoding="utf-8") for file in FILES)
MESSAGES = re.findall(r"^\| `([^`]+(?:`size:`[^`]*)?)` \|", PAGE.partition("## Messages")[2], re.M)


def pieces(message: str) -> list[str]:
    """What of a message is its own words: not names, numbers or what is left out."""
    names = r"…|DIR/cells|DIR|ABB|ABE\?|cells/x\.png|b/19\.png|\bmine\b|\bX\b|\ba\.|\blabel\b|CSV in UTF-8|\bval$|\d+|: No space left on device"
    return [piece for piece in re.split(names, message) if len(piece.strip()) > 3]


def test_every_data_set_of_the_page_is_one(data_spec: Callable[..., Any]) -> None:
    (block,) = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.S | re.M)
    specs = yaml.safe_load(block)["data"]
    assert {data_spec(**fields).reader for fields in specs.values()} == {
        "image_folder",
        "manifest",
        "parquet",
        "bone_marrow",
    }


def test_every_reader_is_on_the_page() -> None:
    assert set(readers.own()) == set(re.findall(r"\| `(\w+)` \|", PAGE.partition("## How images are read")[0]))


@pytest.mark.parametrize("message", MESSAGES)
def test_every_message_of_the_page_is_one_of_the_code(message: str) -> None:
    words = re.sub(r"\{[^{}]*\}", "\0", SOURCE).replace("`", "")
    assert pieces(message)
    assert [piece for piece in pieces(message) if piece.strip(" :;×") not in words] == []


def test_the_page_quotes_many_messages() -> None:
    assert len(MESSAGES) > 20

"""The page on analysis tells the truth: its commands parse, and it names every table."""

from __future__ import annotations

import importlib
import re
import shlex
from pathlib import Path
from typing import Any

from analysis.page.build import build

PAGE = Path(__file__).parents[2] / "docs" / "analysis.md"


def test_every_command_parses() -> None:
    block = re.search(r"^```sh\n(.*?)^```", PAGE.read_text(), re.S | re.M)
    assert block is not None
    commands = [shlex.split(line, comments=True) for line in block.group(1).splitlines()]
    assert {command[2] for command in commands} == {
        f"analysis.{name}" for name in ("report", "ask", "trace", "compare", "predict", "export", "bundle")
    }
    for python, flag, module, *arguments in commands:
        assert (python, flag) == ("python", "-m")
        importlib.import_module(module)._parser().parse_args(arguments)


def test_every_table_is_named(small: Any) -> None:
    named = set(re.findall(r"^\| `(\w+)` \| ", PAGE.read_text(), re.M))
    assert {table.name for table in build(small.study).content.tables} <= named
    assert {"scores_common_classes", "published"} <= named


def test_links_within_the_page_lead_somewhere() -> None:
    text = PAGE.read_text()
    anchors = {
        re.sub(r"[^a-z ]", "", heading.lower()).replace(" ", "-") for heading in re.findall(r"^## (.*)$", text, re.M)
    }
    assert set(re.findall(r"\]\(#([^)]*)\)", text)) <= anchors

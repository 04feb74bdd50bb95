"""YAML that knows its lines, and settings laid over it."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sweep.grid.yaml_document import parse
from trainables.errors import UserError

TEXT = """\
# a comment
target: cells

axes:
  fold: [0,
         1]
  seed:
    - 7
    - 8
weights: {imagenet: {tiny: {file: a}}}
"""


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ((), 2),
        (("target",), 2),
        (("axes",), 4),
        (("axes", "fold", 0), 5),
        (("axes", "fold", 1), 6),
        (("axes", "seed"), 7),
        (("axes", "seed", 1), 9),
        (("weights", "imagenet", "tiny", "file"), 10),
    ],
)
def test_every_value_knows_its_line(path: tuple[str | int, ...], line: int) -> None:
    assert parse(TEXT, "g.yaml").where(path) == f"g.yaml:{line}"


def test_what_is_absent_is_placed_at_the_nearest_thing_above_it() -> None:
    document = parse(TEXT, "g.yaml")
    assert document.where(("axes", "seed", 5, "x")) == "g.yaml:7"
    assert document.where(("nothing", "of", "this")) == "g.yaml:2"


def test_the_value_is_that_of_safe_load() -> None:
    assert parse(TEXT, "g.yaml").value == yaml.safe_load(TEXT)


def test_all_keys_given_twice_are_named_with_their_lines() -> None:
    with pytest.raises(UserError) as caught:
        parse("a: 1\nb: {c: 1, c: 2}\na: 2\n", "g.yaml")
    assert caught.value.faults == ("g.yaml:2: c is given twice", "g.yaml:3: a is given twice")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [1", "g.yaml:1: this is no YAML: while parsing a flow sequence, expected"),
        ("b: 1\na: \tb: c", "g.yaml:2: this is no YAML"),
        ("", "is empty or no mapping"),
        ("- a\n- b\n", "is empty or no mapping"),
        ("just words", "is empty or no mapping"),
        ("a: !!python/object/apply:os.system [true]", "this is no YAML: could not determine a constructor"),
        ("when: 2024-13-45", "is no YAML"),
        ("a: &x [*x]", "a part of it contains itself"),
        ("? [1, 2]\n: 3", "this is no YAML"),
        ("a: \x07", "is no YAML"),
        ("[" * 5000, "nested too deep"),
        ("--- {a: 1}\n--- {a: 2}", "g.yaml:2: this is no YAML"),
    ],
)
def test_what_is_no_grid_is_a_user_error_in_one_line(text: str, said: str) -> None:
    with pytest.raises(UserError) as caught:
        parse(text, "g.yaml")
    [fault] = caught.value.faults
    assert fault.startswith(("g.yaml ", "g.yaml:"))
    assert said in fault
    assert "\n" not in fault


@given(st.text(max_size=60))
def test_no_text_gives_anything_but_a_document_or_a_user_error(text: str) -> None:
    try:
        document = parse(text, "g.yaml")
    except UserError:
        return
    assert document.value == yaml.safe_load(text)


def test_put_replaces_and_makes_the_sections_it_needs() -> None:
    document = parse("a: {b: 1, c: 2}\n", "g.yaml")
    document.put("a.b", "[3, 4]")
    document.put("x.y.z", "{w: 0.5}")
    document.put("a.c", "")
    assert document.value == {"a": {"b": [3, 4], "c": None}, "x": {"y": {"z": {"w": 0.5}}}}


def test_a_value_that_was_put_is_not_said_to_stand_in_the_file() -> None:
    document = parse("a:\n  b: 1\n", "g.yaml")
    document.put("a.b", "3")
    assert "--set a.b=3" in document.where(("a", "b"))
    assert document.where(("a",)) == "g.yaml:1"
    document.put("a", "{b: [4]}")
    assert document.where(("a", "b", 0)) == "--set a={b: [4]}"


def test_the_sections_that_a_setting_makes_are_its_own() -> None:
    document = parse("a:\n  b: 1\n", "g.yaml")
    document.put("a.c.d", "3")
    assert document.where(("a", "c")) == "--set a.c.d=3"
    assert document.where(("a", "b")) == "g.yaml:2"


@pytest.mark.parametrize(("dotted", "text"), [("a.b.c", "1"), ("l.0", "1"), ("a.b", "{"), ("a.b", "2024-13-45")])
def test_a_setting_that_cannot_be_laid_over_says_which(dotted: str, text: str) -> None:
    document = parse("a: {b: 1}\nl: [1]\n", "g.yaml")
    with pytest.raises(UserError, match=f"--set {dotted}"):
        document.put(dotted, text)

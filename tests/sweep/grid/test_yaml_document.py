"""YAML that knows its lines, and settings laid over it."""

from __future__ import annotations

import time
from datetime import date, datetime
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sweep.grid.yaml_document import MAX_CHARACTERS, MAX_DEPTH, parse
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


SCALARS: list[tuple[str, Any]] = [
    ("1e-2", "1e-2"),  # YAML 1.1 wants a dot in a float; pydantic reads the text as a number where one is asked for
    ("1.0e-2", 0.01),
    ("1.5e3", "1.5e3"),
    ("1.5e+3", 1500.0),
    (".5", 0.5),
    ("-.inf", float("-inf")),
    ("1_000", 1000),
    ("010", 8),
    ("0o17", "0o17"),
    ("0x1F", 31),
    ("0b101", 5),
    ("+12", 12),
    ("09", "09"),
    ("1:30", 90),
    ("1:30.5", 90.5),
    ("yes", True),
    ("Off", False),
    ("y", "y"),
    ("~", None),
    ("", None),
    ("Null", None),
    ("'yes'", "yes"),
    ("2024-01-02", date(2024, 1, 2)),
    ("2024-01-02 03:04:05", datetime(2024, 1, 2, 3, 4, 5)),
    ("1.2.3", "1.2.3"),
    ("!!str 3", "3"),
    ("!!float 3", 3.0),
    ("!!set {a, b}", {"a", "b"}),
    ("!!binary aGk=", b"hi"),
]


@pytest.mark.parametrize(("text", "expected"), SCALARS, ids=[text or "nothing" for text, _ in SCALARS])
def test_scalars_are_those_of_yaml_1_1_as_pyyaml_reads_it(text: str, expected: Any) -> None:
    document = parse(f"a: {text}\n", "g.yaml")
    document.put("b", text)
    for value in document.value.values():
        assert value == expected
        assert type(value) is type(expected)


MERGED = """\
base: &base
  epochs: 3
  batch_size: 8
own:
  <<: *base
  epochs: 5
again: *base
"""


def test_anchors_and_merge_keys_give_values_with_the_line_they_are_written_on() -> None:
    document = parse(MERGED, "g.yaml")
    base = {"epochs": 3, "batch_size": 8}
    assert document.value == {"base": base, "own": {**base, "epochs": 5}, "again": base}
    lines = {path: document.where(path) for path in (("own", "epochs"), ("own", "batch_size"), ("again", "epochs"))}
    assert lines == {
        ("own", "epochs"): "g.yaml:6",
        ("own", "batch_size"): "g.yaml:3",
        ("again", "epochs"): "g.yaml:2",
    }


def test_a_key_that_is_no_string_has_its_line() -> None:
    assert parse("a: 1\n7: 2\n", "g.yaml").where((7,)) == "g.yaml:2"


def bomb(values: str, levels: int = 9) -> str:
    """Ten aliases a level, each of the level before: 10^levels values."""
    lines = [f"a0: &a0 {values}"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, levels + 1)]
    return "\n".join(lines)


def merge_bomb(levels: int = 9) -> str:
    lines = ["a0: &a0 {x: 1}"]
    lines += [f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}" for n in range(1, levels + 1)]
    return "\n".join(lines)


def ladder(levels: int) -> str:
    return "\n".join(["a0: &a0 [x]", *(f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, levels + 1))])


TOO_MUCH = {
    "lists": (bomb("[x]"), "holds more than 500,000 values"),
    "mappings": (bomb("{x: y}"), "holds more than 500,000 values"),
    "merges": (merge_bomb(), "holds more than 500,000 values"),
    "itself": ("a: &x [*x]", "a part of it contains itself"),
    "itself below": ("a: &x {b: [1, {c: *x}]}", "a part of it contains itself"),
    "merged into itself": ("a: &x {<<: *x}", "a part of it contains itself"),
    "deep lists": ("a: " + "[" * 400_000, "nested too deep"),
    "deep mappings": ("a: " + "{b: " * 100_000, "nested too deep"),
    "deep blocks": ("\n".join(" " * n + "a:" for n in range(600)), "nested too deep"),
    "deep by aliases": (ladder(MAX_DEPTH), "nested too deep"),
    "huge": ("a: [" + "1, " * 10_000_000 + "1]", "longer than 500,000 characters"),
}


@pytest.mark.parametrize(("text", "said"), TOO_MUCH.values(), ids=TOO_MUCH)
def test_what_stands_for_too_much_is_refused_at_once(text: str, said: str) -> None:
    before = time.process_time()
    with pytest.raises(UserError) as caught:
        parse(text, "g.yaml")
    assert time.process_time() - before < 5.0
    [fault] = caught.value.faults
    assert fault.startswith("g.yaml cannot be read as YAML: it ") or "a part of it" in fault
    assert said in fault
    if len(text) < 10_000:
        with pytest.raises(UserError, match=said):
            parse("a: 1", "g.yaml").put("b", text.removeprefix("a: "))


def test_what_is_large_and_flat_is_read() -> None:
    assert len(parse(ladder(MAX_DEPTH - 3), "g.yaml").value) == MAX_DEPTH - 2
    text = "a:\n" + "- 0.00012345\n" * 20_000
    assert len(text) < MAX_CHARACTERS
    assert parse(text, "g.yaml").value == {"a": [0.00012345] * 20_000}
    assert parse(bomb("[x]", 4), "g.yaml").where(("a4", 0, 0, 0, 0, 0)) == "g.yaml:1"


@pytest.mark.parametrize("text", ["!!int ''", "!!bool q", "!!timestamp no", "!!float ''", "0x_"])
def test_a_value_that_does_not_fit_its_tag_is_a_user_error(text: str) -> None:
    with pytest.raises(UserError, match=r"g\.yaml cannot be read as YAML: "):
        parse(f"a: {text}", "g.yaml")


def test_all_keys_given_twice_are_named_with_their_lines() -> None:
    with pytest.raises(UserError) as caught:
        parse("a: 1\nb: {c: 1, c: 2}\na: 2\n", "g.yaml")
    assert caught.value.faults == ("g.yaml:2: c is given twice", "g.yaml:3: a is given twice")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [1", "g.yaml:1: not valid YAML: while parsing a flow sequence, expected"),
        ("b: 1\na: \tb: c", "g.yaml:2: not valid YAML"),
        ("", "is empty, or not a mapping of keys to values"),
        ("- a\n- b\n", "is empty, or not a mapping of keys to values"),
        ("just words", "is empty, or not a mapping of keys to values"),
        ("a: !!python/object/apply:os.system [true]", "not valid YAML: could not determine a constructor"),
        ("when: 2024-13-45", "cannot be read as YAML"),
        ("? [1, 2]\n: 3", "not valid YAML"),
        ("a: \x07", "cannot be read as YAML"),
        ("--- {a: 1}\n--- {a: 2}", "g.yaml:2: not valid YAML"),
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

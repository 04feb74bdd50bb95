"""Tests of hashes and seeds."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainables.errors import UserError
from trainables.hashing import canonical, derive_seed, digest, readable, tidy_rate

plain_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize(
    "value",
    [
        math.nan,
        math.inf,
        -math.inf,
        {1: "a"},
        {None: "a"},
        {"a": {True: 1}},
        {"a", "b"},
        b"bytes",
        Path("a"),
        object(),
        1j,
        np.int64(1),
        np.float32(1),
        np.zeros(2),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_has_no_faithful_hash_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match="no faithful hash"):
        canonical(value)


def test_the_refusal_says_where() -> None:
    with pytest.raises(TypeError, match=r"value\.recipe\.rates\[1\] is nan"):
        digest({"recipe": {"rates": [0.1, math.nan]}})


def test_keys_are_sorted_at_every_depth_and_nothing_is_added() -> None:
    assert canonical({"b": {"z": 1, "y": [None, True]}, "a": 0.5}) == '{"a":0.5,"b":{"y":[null,true],"z":1}}'


def test_a_tuple_is_a_list_and_other_types_stay_apart() -> None:
    assert canonical((1, (2,))) == canonical([1, [2]])
    values: tuple[Any, ...] = (1, 1.0, True, "1", None, "null", [], {}, "", [None])
    assert len({digest(value) for value in values}) == 10


@given(plain_values)
def test_the_canonical_text_holds_the_whole_value(value: object) -> None:
    text = canonical(value)
    assert json.loads(text) == value
    assert canonical(json.loads(text)) == text


def test_known_digests() -> None:
    """A change of any of them gives every stage of every study another key."""
    content = {"b": [1, 2.5, None, True], "a": "ü"}
    assert digest(content) == hashlib.sha256(b'{"a":"\\u00fc","b":[1,2.5,null,true]}').hexdigest()
    assert digest(content) == "016a42b8cab958d1ab0e8d320efe7edf0046f9615095ae25f338ee8b24ef2296"
    assert digest({}) == "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    assert digest(1e-5) == "5a9530d3c6d5faad6ba8afe16fb8e438df23865128370b2ec14ef622bb5f2ec9"


def test_known_seeds() -> None:
    assert derive_seed("order", 0, None, 3) == 575231786958411665
    assert derive_seed("augment", 7, 2, 0) == 5313747162030722275


def test_a_seed_depends_on_every_part_and_their_order() -> None:
    calls = [("a", "b"), ("b", "a"), ("ab",), ("a", "b", None), ("a", "b", 0), ("a", "b", "0"), (["a", "b"],), ()]
    assert len({derive_seed(*parts) for parts in calls}) == len(calls)


@given(st.lists(plain_values, max_size=3))
def test_a_seed_is_a_non_negative_63_bit_number(parts: list[object]) -> None:
    assert 0 <= derive_seed(*parts) < 2**63
    assert derive_seed(*parts) == derive_seed(*parts)


def test_rates_that_differ_by_rounding_alone_are_one() -> None:
    assert tidy_rate(0.1 * 3) == 0.3 != 0.1 * 3
    assert tidy_rate(0.002 / 2 * 2) == 0.002


@given(st.floats(min_value=1e-300, max_value=1e300))
def test_tidying_changes_a_rate_by_rounding_alone_and_once(rate: float) -> None:
    assert tidy_rate(rate) == pytest.approx(rate, rel=1e-11)
    assert tidy_rate(tidy_rate(rate)) == tidy_rate(rate)


@pytest.mark.parametrize("rate", [0.0, -0.1, math.nan, math.inf])
def test_a_rate_that_is_no_positive_number_is_refused(rate: float) -> None:
    with pytest.raises(UserError, match=f"positive number, found {rate}"):
        tidy_rate(rate)


def test_readable_names_are_safe_in_a_path() -> None:
    assert readable("timm/test_vit, Ünï×2") == "timm_test_vit_n_2"
    assert readable("a-b_c.d+e9") == "a-b_c.d+e9"

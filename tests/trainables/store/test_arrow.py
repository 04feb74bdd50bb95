"""Parquet files are read within bounds: one may unpack to far more than its size."""

from __future__ import annotations

import io
from contextlib import suppress

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from trainables.store import arrow
from trainables.store.arrow import parquet_bytes, read_parquet


@pytest.mark.parametrize(
    "table",
    [
        pa.table({"a": [1, 2, None], "b": ["x", None, "x"], "c": [b"1", b"", None], "d": [True, None, False]}),
        pa.table({"a": pa.array([[1.0, 2.0], [], None], pa.list_(pa.float32())), "b": ["x", "y", "x"]}),
        pa.table({"a": pa.array([], pa.string())}),
        pa.table({"a.b": ["x", "y"], "c": pa.array(["x", "x"]).dictionary_encode()}),
    ],
)
def test_what_is_read_is_what_was_written(table: pa.Table) -> None:
    found = read_parquet(parquet_bytes(table))
    assert found.equals(table)
    assert found.schema == table.schema
    assert all(column.num_chunks <= 1 for column in found.columns)


@pytest.mark.parametrize("nested", [False, True])
def test_a_repeated_long_text_is_refused_before_it_is_written_out(
    monkeypatch: pytest.MonkeyPatch, nested: bool
) -> None:
    monkeypatch.setattr(arrow, "MOST_TABLE", 4 << 20)
    texts = pa.array(["x" * 100_000]).take(pa.array([0] * 1_000))
    column = pa.ListArray.from_arrays(pa.array(range(1_001), pa.int32()), texts) if nested else texts
    content = parquet_bytes(pa.table({"a": column}))
    assert len(content) < 100_000
    held = pa.total_allocated_bytes()
    with pytest.raises(ValueError, match="unpacks to more than 4 MB"):
        read_parquet(content)
    assert pa.total_allocated_bytes() - held < 20 << 20


def test_a_repeated_number_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrow, "MOST_TABLE", 4 << 20)
    content = parquet_bytes(pa.table({"a": pa.array([7]).take(pa.array([0] * 1_000_000))}))
    with pytest.raises(ValueError, match="unpacks to more than 4 MB"):
        read_parquet(content)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"x" * 100, b"PAR1" + b"\xff" * 40 + b"PAR1"])
def test_what_is_no_parquet_file_is_a_value_error(content: bytes) -> None:
    with pytest.raises(ValueError, match="no Parquet file"):
        read_parquet(content)


def test_damaged_bytes_are_a_value_error() -> None:
    sink = io.BytesIO()
    pq.write_table(pa.table({"a": list(range(1000)), "b": ["x"] * 1000}), sink)
    good = sink.getvalue()
    for place in range(4, len(good), 7):
        harmed = good[:place] + bytes([good[place] ^ 0xFF]) + good[place + 1 :]
        with suppress(ValueError):
            read_parquet(harmed)


def test_two_columns_of_a_name_are_refused() -> None:
    sink = io.BytesIO()
    pq.write_table(pa.table([pa.array([1]), pa.array([2])], ["a", "a"]), sink)
    with pytest.raises(ValueError, match="two of its columns"):
        read_parquet(sink.getvalue())

"""Splits that are kept: the same again without the work, and never another one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from trainables.data.packing.prepare import Packed, prepare
from trainables.data.readers.builtin.generated import Generated
from trainables.data.splits.cache import cached_split
from trainables.data.splits.splits import Split, SplitSpec, cross_validation, train_val_split
from trainables.errors import UserError

SPEC = SplitSpec(folds=2, val_fraction=0.3)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Packed:
    spec = Generated(reader="generated", generator="blood_cells", images_per_class=6, size=32)
    return prepare("cells", spec, Path(), tmp_path_factory.mktemp("packed"))


def refused() -> Split:
    raise AssertionError("it was made again")


@pytest.fixture
def make(data: Packed) -> Callable[[], Split]:
    return lambda: cross_validation("cells", data, SPEC)


def test_what_is_kept_is_what_was_made(data: Packed, make: Callable[[], Split], tmp_path: Path) -> None:
    made = cached_split("folds", data, SPEC, tmp_path, make)
    kept = cached_split("folds", data, SPEC, tmp_path, refused)
    assert made.notes, "something to be remembered"
    assert (kept.digest, kept.proof, kept.notes) == (made.digest, made.proof, made.notes)
    assert kept.table.equals(made.table)
    assert sorted(file.suffix for file in tmp_path.iterdir()) == [".json", ".parquet"]


def test_another_kind_specification_or_data_is_another_split(
    data: Packed, make: Callable[[], Split], tmp_path: Path
) -> None:
    cached_split("folds", data, SPEC, tmp_path, make)
    other = Packed(data.folder, data.classes, "another fingerprint", data.size)
    for kind, of, spec in (
        ("single", data, SPEC),
        ("folds", data, SPEC.model_copy(update={"seed": 1})),
        ("folds", other, SPEC),
    ):
        with pytest.raises(AssertionError, match="made again"):
            cached_split(kind, of, spec, tmp_path, refused)


@pytest.mark.parametrize("suffix", [".json", ".parquet"])
@pytest.mark.parametrize("spoil", [lambda content: b"", lambda content: content[:-9] + b"x" * 9, lambda content: b"[]"])
def test_what_is_torn_is_made_again(
    data: Packed, make: Callable[[], Split], tmp_path: Path, suffix: str, spoil: Callable[[bytes], bytes]
) -> None:
    made = cached_split("folds", data, SPEC, tmp_path, make)
    [file] = tmp_path.glob(f"*{suffix}")
    file.write_bytes(spoil(file.read_bytes()))
    assert cached_split("folds", data, SPEC, tmp_path, make).digest == made.digest
    assert cached_split("folds", data, SPEC, tmp_path, refused).digest == made.digest


def test_a_table_of_another_split_is_not_believed(data: Packed, make: Callable[[], Split], tmp_path: Path) -> None:
    cached_split("folds", data, SPEC, tmp_path, make)
    [file] = tmp_path.glob("*.parquet")
    cached_split("single", data, SPEC, tmp_path / "other", lambda: train_val_split(data, SPEC))
    [other] = (tmp_path / "other").glob("*.parquet")
    file.write_bytes(other.read_bytes())
    with pytest.raises(AssertionError, match="made again"):
        cached_split("folds", data, SPEC, tmp_path, refused)


def test_without_a_place_to_write_nothing_is_kept(data: Packed, make: Callable[[], Split], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert cached_split("folds", data, SPEC, tmp_path / "file", make).digest == make().digest


def test_a_refusal_is_no_split(data: Packed, tmp_path: Path) -> None:
    def refuse() -> Split:
        raise UserError("too few")

    for _ in range(2):
        with pytest.raises(UserError, match="too few"):
            cached_split("folds", data, SPEC, tmp_path, refuse)
    assert not list(tmp_path.iterdir())

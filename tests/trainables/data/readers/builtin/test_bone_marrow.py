"""Tests of the reader of the bone-marrow set."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.trainables.support.reading import Spec, Write, refused, scanned
from trainables.data.packing.decode import decode
from trainables.errors import UserError


@pytest.fixture
def bone_marrow(tmp_path: Path, write_image: Write) -> Path:
    """The layout of The Cancer Imaging Archive: large classes in numbered folders, small ones flat."""
    cells = tmp_path / "bone_marrow" / "BM_cytomorphology_data"
    for number, name in enumerate(
        [
            "NGS/0001-1000/NGS_00001.jpg",
            "NGS/0001-1000/NGS_00002.jpg",
            "NGS/1001-1002/NGS_01001.jpg",
            "ABE/ABE_00001.jpg",
            "ABE/ABE_00002.JPG",
        ]
    ):
        write_image(cells / name, number)
    (cells / "abbreviations.csv").write_text("code;what\n")
    return tmp_path


def test_the_label_is_the_prefix_and_never_the_numbered_folder(bone_marrow: Path, data_spec: Spec) -> None:
    found = scanned(data_spec(reader="bone_marrow").scan(bone_marrow))
    top = "BM_cytomorphology_data"
    assert found == {
        f"{top}/ABE/ABE_00001.jpg": ("ABE", None, None),
        f"{top}/ABE/ABE_00002.JPG": ("ABE", None, None),
        f"{top}/NGS/0001-1000/NGS_00001.jpg": ("NGS", None, None),
        f"{top}/NGS/0001-1000/NGS_00002.jpg": ("NGS", None, None),
        f"{top}/NGS/1001-1002/NGS_01001.jpg": ("NGS", None, None),
    }
    assert list(found) == sorted(found)


def test_masks_beside_the_cells_are_no_cells(bone_marrow: Path, data_spec: Spec, write_image: Write) -> None:
    write_image(bone_marrow / "bone_marrow" / "masks" / "NGS_00001.png")
    assert len(data_spec(reader="bone_marrow").scan(bone_marrow).items) == 5


def test_a_deeper_or_shallower_copy_of_the_tree_is_read(bone_marrow: Path, data_spec: Spec) -> None:
    """The Kaggle mirror has one folder more; some unpack the inner one."""
    spec = data_spec(reader="bone_marrow", path="bone_marrow/BM_cytomorphology_data")
    assert set(scanned(spec.scan(bone_marrow))) >= {"ABE/ABE_00001.jpg", "NGS/1001-1002/NGS_01001.jpg"}


def test_the_tree_of_the_kaggle_mirror_is_read(tmp_path: Path, data_spec: Spec, write_image: Write) -> None:
    """Its top folder has another name, twice where it was unpacked into a folder of that name."""
    top = "bone_marrow_cell_dataset"
    for number, name in enumerate([f"{top}/ABE/ABE_00001.jpg", f"{top}/NGB/9001-9968/NGB_09001.jpg"]):
        write_image(tmp_path / "bone_marrow" / name, number)
        write_image(tmp_path / "twice" / top / name, number)
    flat = scanned(data_spec(reader="bone_marrow").scan(tmp_path))
    deep = scanned(data_spec(reader="bone_marrow", path="twice").scan(tmp_path))
    assert [label for label, _, _ in flat.values()] == [label for label, _, _ in deep.values()] == ["ABE", "NGB"]


def test_each_image_is_loaded_as_its_file_is(bone_marrow: Path, data_spec: Spec) -> None:
    listing = data_spec(reader="bone_marrow").scan(bone_marrow)
    for number, item in enumerate(listing.items):
        assert listing.load(number) == (bone_marrow / "bone_marrow" / item.image_id).read_bytes()


def test_another_layout_is_refused_with_describe_folder(tmp_path: Path, data_spec: Spec, write_image: Write) -> None:
    write_image(tmp_path / "bone_marrow" / "train" / "0001.jpg")
    refused(
        data_spec(reader="bone_marrow"),
        tmp_path,
        f"in {tmp_path / 'bone_marrow'}",
        "holds train",
        "Expected …/BM_cytomorphology_data/<CODE>/[0001-1000/]<CODE>_00001.jpg",
    )


GROUPS = """path,label,group
BM_cytomorphology_data/ABE/ABE_00001.jpg,ABE,p1
BM_cytomorphology_data/ABE/ABE_00002.JPG,ABE,p2
BM_cytomorphology_data/NGS/0001-1000/NGS_00001.jpg,NGS,p1
BM_cytomorphology_data/NGS/0001-1000/NGS_00002.jpg,NGS,p3
BM_cytomorphology_data/NGS/1001-1002/NGS_01001.jpg,NGS,p3
"""


def with_groups(root: Path, text: str, name: str = "groups.csv") -> None:
    (root / "bone_marrow" / name).write_text(text, encoding="utf-8")


@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["plain", "as Excel saves it"])
def test_groups_come_from_their_file(bone_marrow: Path, data_spec: Spec, mark: str) -> None:
    with_groups(bone_marrow, mark + GROUPS)
    found = scanned(data_spec(reader="bone_marrow", groups="groups.csv").scan(bone_marrow))
    assert [group for _, group, _ in found.values()] == ["p1", "p2", "p1", "p3", "p3"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (GROUPS.replace("BM_cytomorphology_data/NGS", "NGS"), ["no group for 3 of 5 images", "NGS_00001.jpg"]),
        (GROUPS.replace(",p2", ","), ["groups.csv has no group in row 2"]),
        (GROUPS.replace(",p2", ""), ["groups.csv has no group in row 2"]),
        (GROUPS.replace("path", "file"), ["groups.csv has no column path; found: file, label, group"]),
        ("path,group\n", ["groups.csv", "no row"]),
        ("", ["groups.csv has no column path, group; found: nothing"]),
    ],
    ids=["incomplete", "blank", "short row", "no column", "no rows", "empty"],
)
def test_a_faulty_groups_file_is_refused(bone_marrow: Path, data_spec: Spec, text: str, words: list[str]) -> None:
    """Images without a group would be dealt out one by one, and patients leak."""
    with_groups(bone_marrow, text)
    refused(data_spec(reader="bone_marrow", groups="groups.csv"), bone_marrow, *words)


def test_a_missing_groups_file_is_refused(bone_marrow: Path, data_spec: Spec) -> None:
    refused(data_spec(reader="bone_marrow", groups="g.csv"), bone_marrow, "no file", "g.csv", "BM_cytomorphology_data")


def test_classes_are_left_out_on_demand(bone_marrow: Path, data_spec: Spec) -> None:
    whole = data_spec(reader="bone_marrow").listing(bone_marrow)
    left = data_spec(reader="bone_marrow", leave_out=["ABE"]).listing(bone_marrow)
    assert [item.label for item in left.items] == ["NGS"] * 3
    places = [whole.items.index(item) for item in left.items]
    assert [left.load(i) for i in range(3)] == [whole.load(i) for i in places]
    with pytest.raises(UserError, match=r"not there: ABB; did you mean ABE\?\. Classes: ABE, NGS"):
        data_spec(reader="bone_marrow", leave_out=["ABB"]).listing(bone_marrow)
    with pytest.raises(UserError, match="names every class"):
        data_spec(reader="bone_marrow", leave_out=["ABE", "NGS"]).listing(bone_marrow)


def test_real_cells(shared_data: Path, data_spec: Spec) -> None:
    listing = data_spec(reader="bone_marrow", groups="groups.csv").scan(shared_data)
    counts = {label: sum(item.label == label for item in listing.items) for label in ("NGS", "LYT", "MON", "EOS")}
    assert counts == {"NGS": 176, "LYT": 53, "MON": 48, "EOS": 22}
    assert len(listing.items) == sum(counts.values())
    assert len({item.group for item in listing.items}) == len(listing.items) - 1
    assert decode(listing.load(0), None).shape == (120, 120, 3)

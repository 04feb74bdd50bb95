"""Tests of the readers: layouts as they are in the world, and messages that say what and where."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from pydantic import ValidationError

from trainables.data.packing.decode import decode
from trainables.data.packing.prepare import prepare
from trainables.data.readers.base import Listing
from trainables.errors import UserError

Spec = Callable[..., Any]
Write = Callable[..., Path]
PARTS = {"train": 6, "valid": 4, "test": 2}


def scanned(listing: Listing) -> dict[str, tuple[str, str | None, str | None]]:
    return {item.image_id: (item.label, item.group, item.part) for item in listing.items}


def refused(spec: Any, root: Path, *words: str) -> str:
    """Check that a scan is refused with a message that holds all the words; return it."""
    with pytest.raises(UserError) as caught:
        spec.scan(root)
    missing = [word for word in words if word not in str(caught.value)]
    assert not missing, f"{missing} not in: {caught.value}"
    return str(caught.value)


# The bone-marrow set


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


def test_another_layout_is_refused_with_what_is_there(tmp_path: Path, data_spec: Spec, write_image: Write) -> None:
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


# Cats and dogs


@pytest.fixture
def pets(tmp_path: Path, write_image: Write) -> Path:
    """Cats and dogs as Microsoft released them: beside the images, an empty one, a truncated one and a database."""
    folder = tmp_path / "cats_vs_dogs" / "PetImages"
    for number in range(3):
        write_image(folder / "Cat" / f"{number}.jpg", number, width=40 + number)
        write_image(folder / "Dog" / f"{number}.jpg", 10 + number, width=40, height=50)
    (folder / "Cat" / "666.jpg").write_bytes(b"")
    whole = write_image(folder / "Dog" / "11702.jpg", 20, width=90).read_bytes()
    (folder / "Dog" / "11702.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "Cat" / "Thumbs.db").write_bytes(b"no image")
    return tmp_path


def test_broken_pets_are_skipped_and_named(pets: Path, data_spec: Spec) -> None:
    packed = prepare("pets", data_spec(reader="cats_vs_dogs", size=32), pets, pets / "cache")
    assert packed.classes == ("Cat", "Dog")
    assert packed.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert packed.index.column("image_id").to_pylist()[0] == "PetImages/Cat/0.jpg"
    problems = {problem["image_id"]: problem["what"] for problem in packed.problems}
    assert problems.keys() == {"PetImages/Cat/666.jpg", "PetImages/Dog/11702.jpg"}
    assert problems["PetImages/Cat/666.jpg"] == "undecodable: the file is empty"
    assert problems["PetImages/Dog/11702.jpg"].startswith("undecodable: ")
    assert "image file is truncated" in problems["PetImages/Dog/11702.jpg"]


def test_images_beside_cats_and_dogs_are_no_pets(pets: Path, data_spec: Spec, write_image: Write) -> None:
    write_image(pets / "cats_vs_dogs" / "PetImages" / "cover.jpg")
    write_image(pets / "cats_vs_dogs" / "PetImages" / "Bird" / "1.jpg")
    write_image(pets / "cats_vs_dogs" / "PetImages" / "Cat" / "more" / "1.jpg")
    found = scanned(data_spec(reader="cats_vs_dogs").scan(pets))
    assert {label for label, _, _ in found.values()} == {"Cat", "Dog"}
    assert found["PetImages/Cat/more/1.jpg"][0] == "Cat"


def test_pets_in_another_layout_are_refused(tmp_path: Path, data_spec: Spec, write_image: Write) -> None:
    write_image(tmp_path / "cats_vs_dogs" / "PetImages" / "Dog" / "1.jpg")
    message = refused(data_spec(reader="cats_vs_dogs"), tmp_path, "PetImages/Cat", str(tmp_path), "holds PetImages")
    assert "PetImages/Dog" not in message
    (tmp_path / "cats_vs_dogs" / "PetImages" / "Dog" / "1.jpg").unlink()
    refused(data_spec(reader="cats_vs_dogs"), tmp_path, "PetImages/Cat and PetImages/Dog")


# A folder a class


def test_the_first_folder_is_the_class(tmp_path: Path, data_spec: Spec, write_image: Write) -> None:
    for number, name in enumerate(["ä b/1.png", "ä b/deep/er/2.tif", "c/3.webp", "c/4.bmp", "stray.png"]):
        write_image(tmp_path / "my set" / name, number)
    found = scanned(data_spec(reader="image_folder", path="my set").scan(tmp_path))
    assert {name: label for name, (label, _, _) in found.items()} == {
        "ä b/1.png": "ä b",
        "ä b/deep/er/2.tif": "ä b",
        "c/3.webp": "c",
        "c/4.bmp": "c",
    }


def test_linked_folders_are_followed(tmp_path: Path, data_spec: Spec, write_image: Write) -> None:
    """Clusters keep data sets as trees of links. A class whose folder is a link is not silently left out."""
    write_image(tmp_path / "elsewhere" / "1.png")
    write_image(tmp_path / "set" / "a" / "1.png")
    (tmp_path / "set" / "b").symlink_to(tmp_path / "elsewhere")
    found = scanned(data_spec(reader="image_folder", path="set").scan(tmp_path))
    assert {name: label for name, (label, _, _) in found.items()} == {"a/1.png": "a", "b/1.png": "b"}


def test_a_name_that_is_no_utf_8_is_refused(tmp_path: Path, data_spec: Spec, write_image: Write) -> None:
    write_image(tmp_path / "set" / "a" / "1\udcff.png")
    write_image(tmp_path / "set" / "a" / "tab\t ü.png")
    refused(
        data_spec(reader="image_folder", path="set"), tmp_path, "1 names that are no UTF-8, the first: 'a/1\\udcff.png'"
    )
    (tmp_path / "set" / "a" / "1\udcff.png").unlink()
    assert set(scanned(data_spec(reader="image_folder", path="set").scan(tmp_path))) == {"a/tab\t ü.png"}


def test_links_in_a_circle_end(tmp_path: Path, data_spec: Spec, write_image: Write) -> None:
    write_image(tmp_path / "set" / "a" / "1.png")
    (tmp_path / "set" / "a" / "up").symlink_to(tmp_path / "set")
    (tmp_path / "set" / "a" / "here").symlink_to(".")
    (tmp_path / "set" / "b").symlink_to("a")  # a second name of a class is no circle
    found = scanned(data_spec(reader="image_folder", path="set").scan(tmp_path))
    assert set(found) == {"a/1.png", "b/1.png"}


def test_a_folder_may_have_groups(tmp_path: Path, data_spec: Spec, write_image: Write) -> None:
    write_image(tmp_path / "set" / "a" / "1.png")
    (tmp_path / "set" / "groups.csv").write_text("path,group\na/1.png,p9\n")
    spec = data_spec(reader="image_folder", path="set", groups="groups.csv")
    assert scanned(spec.scan(tmp_path)) == {"a/1.png": ("a", "p9", None)}


def test_images_in_no_class_folder_are_refused(tmp_path: Path, data_spec: Spec, write_image: Write) -> None:
    write_image(tmp_path / "set" / "1.png")
    refused(data_spec(reader="image_folder", path="set"), tmp_path, "no image in a class folder", "set holds 1.png")


# PCam


@pytest.fixture
def pcam(tmp_path: Path) -> Path:
    """PatchCamelyon's six files, small."""
    rng = np.random.default_rng(0)
    for part, count in PARTS.items():
        pixels = rng.integers(0, 256, (count, 96, 96, 3), dtype=np.uint8)
        write_h5(tmp_path, part, "x", x=pixels)
        write_h5(tmp_path, part, "y", y=(np.arange(count) % 2).astype(np.uint8).reshape(count, 1, 1, 1))
    return tmp_path


def write_h5(root: Path, part: str, axis: str, **content: np.ndarray) -> Path:
    file = root / "pcam" / f"camelyonpatch_level_2_split_{part}_{axis}.h5"
    file.parent.mkdir(exist_ok=True)
    with h5py.File(file, "w") as stream:
        for name, value in content.items():
            stream[name] = value
    return file


def test_patches_keep_their_own_parts(pcam: Path, data_spec: Spec) -> None:
    listing = data_spec(reader="pcam").scan(pcam)
    found = scanned(listing)
    assert len(found) == sum(PARTS.values())
    assert [part for _, _, part in found.values()] == ["train"] * 6 + ["val"] * 4 + ["test"] * 2
    assert found["train/0"][0] == "normal"
    assert found["valid/3"] == ("tumour", None, "val")


def test_patches_are_the_pixels_of_their_row(pcam: Path, data_spec: Spec) -> None:
    packed = prepare("pcam", data_spec(reader="pcam"), pcam, pcam / "cache")
    with h5py.File(pcam / "pcam" / "camelyonpatch_level_2_split_valid_x.h5") as stream:
        expected = stream["x"][:]
    rows = np.array([packed.index.column("image_id").to_pylist().index(f"valid/{i}") for i in range(4)])
    assert np.array_equal(packed.gather(rows), expected)


def test_missing_patches_are_refused_by_file(pcam: Path, data_spec: Spec) -> None:
    (pcam / "pcam" / "camelyonpatch_level_2_split_valid_y.h5").unlink()
    message = refused(data_spec(reader="pcam"), pcam, "split_valid_y.h5", str(pcam / "pcam"), "basveeling/pcam")
    assert "split_train_x.h5" not in message.partition("holds")[0]


@pytest.mark.parametrize(
    ("part", "axis", "content", "words"),
    [
        ("test", "y", {"y": np.zeros((3, 1, 1, 1))}, ["split_test_x.h5 holds 2 images, its y file 3 labels"]),
        ("test", "y", {"y": np.full((2, 1, 1, 1), 2)}, ["split_test_y.h5", "labels other than 0 (normal) and 1"]),
        ("train", "x", {"images": np.zeros((6, 96, 96, 3))}, ["split_train_x.h5", "key x"]),
        ("valid", "y", {}, ["split_valid_y.h5", "key y"]),
    ],
    ids=["counts differ", "a third label", "no x", "no y"],
)
def test_patches_of_another_shape_are_refused(
    pcam: Path, data_spec: Spec, part: str, axis: str, content: dict[str, np.ndarray], words: list[str]
) -> None:
    write_h5(pcam, part, axis, **content)
    refused(data_spec(reader="pcam"), pcam, *words)


def test_a_half_downloaded_file_of_patches_is_refused(pcam: Path, data_spec: Spec) -> None:
    file = pcam / "pcam" / "camelyonpatch_level_2_split_train_x.h5"
    file.write_bytes(file.read_bytes()[:5000])
    refused(data_spec(reader="pcam"), pcam, str(file), "no HDF5 file", "Download or unpack it again")


# Manifests


@pytest.fixture
def listed(tmp_path: Path, write_image: Write) -> Path:
    for number in range(4):
        write_image(tmp_path / "set" / "images" / f"ü {number}.png", number)
    return tmp_path


ROWS = {
    "path": [f"images/ü {number}.png" for number in range(4)],
    "label": ["a", "b", "a", "b"],
    "group": ["p1", None, "p1", ""],
}
FOUND = {
    "images/ü 0.png": ("a", "p1", None),
    "images/ü 1.png": ("b", None, None),
    "images/ü 2.png": ("a", "p1", None),
    "images/ü 3.png": ("b", None, None),
}


def write_csv(file: Path, rows: Mapping[str, Any]) -> None:
    lines = [",".join("" if value is None else str(value) for value in row) for row in zip(*rows.values(), strict=True)]
    file.write_text("\n".join([",".join(rows), *lines]) + "\n", encoding="utf-8")


def test_a_csv_manifest(listed: Path, data_spec: Spec) -> None:
    write_csv(listed / "set" / "m.csv", ROWS)
    assert scanned(data_spec(reader="manifest", path="set/m.csv").scan(listed)) == FOUND


def test_a_parquet_manifest(listed: Path, data_spec: Spec) -> None:
    pq.write_table(pa.table(ROWS), listed / "set" / "m.parquet")
    listing = data_spec(reader="manifest", path="set/m.parquet").scan(listed)
    assert scanned(listing) == FOUND
    assert listing.load(2) == (listed / "set" / "images" / "ü 2.png").read_bytes()


def test_a_parquet_manifest_may_number_its_labels_and_groups(listed: Path, data_spec: Spec) -> None:
    numbered = ROWS | {"label": [3, 11, 3, 11], "group": [7, None, 7, 8]}
    pq.write_table(pa.table(numbered), listed / "set" / "m.parquet")
    packed = prepare("m", data_spec(reader="manifest", path="set/m.parquet"), listed, listed / "cache")
    assert packed.classes == ("11", "3")
    assert packed.index.column("group").to_pylist() == ["7", None, "7", "8"]


def test_a_manifest_without_groups(listed: Path, data_spec: Spec) -> None:
    write_csv(listed / "set" / "m.csv", {name: ROWS[name] for name in ("label", "path")})
    found = scanned(data_spec(reader="manifest", path="set/m.csv").scan(listed))
    assert {group for _, group, _ in found.values()} == {None}


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (ROWS | {"path": ["images/ü 0.png", "images/gone.png", "x.png", "y.png"]}, ["3 images", "images/gone.png"]),
        ({"path": ROWS["path"], "class": ROWS["label"]}, ["has no column label; found: path, class"]),
        ({"file": ROWS["path"]}, ["has no column path, label; found: file"]),
        (ROWS | {"label": ["a", None, "a", "b"]}, ["has no label in row 2"]),
        ({"path": [], "label": []}, ["a header, but no row"]),
    ],
    ids=["missing images", "no label column", "no columns", "blank label", "no rows"],
)
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_faulty_manifest_is_refused(
    listed: Path, data_spec: Spec, kind: str, rows: dict[str, list[Any]], words: list[str]
) -> None:
    file = listed / "set" / f"m.{kind}"
    if kind == "csv":
        write_csv(file, rows)
    else:
        pq.write_table(pa.table({name: pa.array(values, pa.string()) for name, values in rows.items()}), file)
    refused(data_spec(reader="manifest", path=f"set/m.{kind}"), listed, str(file), *words)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("m.csv", "path,label\nimages/ü 0.png,a\n".encode("latin-1"), ["m.csv", "CSV in UTF-8"]),
        ("m.parquet", b"path,label\n", ["m.parquet", "cannot be read as Parquet"]),
    ],
)
def test_a_manifest_of_another_format_is_refused(
    listed: Path, data_spec: Spec, name: str, content: bytes, words: list[str]
) -> None:
    (listed / "set" / name).write_bytes(content)
    refused(data_spec(reader="manifest", path=f"set/{name}"), listed, *words)


def test_a_missing_manifest_is_refused(listed: Path, data_spec: Spec) -> None:
    refused(data_spec(reader="manifest", path="set/m.csv"), listed, "no file", "set/m.csv", "holds images")


def test_an_image_listed_twice_is_refused(listed: Path, data_spec: Spec) -> None:
    write_csv(listed / "set" / "m.csv", {"path": ["images/ü 0.png"] * 2, "label": ["a", "b"]})
    with pytest.raises(
        UserError, match=r"data set mine: 1 images are listed more than once, the first: images/ü 0\.png"
    ):
        prepare("mine", data_spec(reader="manifest", path="set/m.csv"), listed, listed / "cache")


# Generated sets


def test_generated_images_are_those_of_the_generator(tmp_path: Path, data_spec: Spec) -> None:
    from tests.trainables.support.generated_set import generate

    spec = data_spec(reader="generated", generator="blood_cells", images_per_class=2, size=40, seed=3)
    listing, made = spec.scan(tmp_path), generate("blood_cells", 2, 40, 3)
    assert tuple(item.image_id for item in listing.items) == made.image_ids
    assert tuple(item.group for item in listing.items) == made.groups
    assert tuple(item.label for item in listing.items) == tuple(made.classes[label] for label in made.labels)
    assert all(np.array_equal(listing.load(i), made.images[i]) for i in range(len(made.images)))


# All readers

ALL = {
    "bone_marrow": {},
    "cats_vs_dogs": {},
    "pcam": {},
    "image_folder": {"path": "my_set"},
}


@pytest.mark.parametrize("reader", ALL)
def test_a_missing_folder_is_refused_with_the_way_to_name_it(tmp_path: Path, data_spec: Spec, reader: str) -> None:
    (tmp_path / "something_else").mkdir()
    spec = data_spec(reader=reader, **ALL[reader])
    refused(spec, tmp_path, f"no folder {tmp_path / spec.path}", "holds something_else", "--data", spec.path)
    refused(spec, tmp_path / "nowhere", f"{tmp_path / 'nowhere'} is no folder")


@pytest.mark.parametrize("reader", ALL)
def test_an_empty_folder_is_refused(tmp_path: Path, data_spec: Spec, reader: str) -> None:
    spec = data_spec(reader=reader, **ALL[reader])
    (tmp_path / spec.path).mkdir()
    refused(spec, tmp_path, str(tmp_path / spec.path), "holds nothing")


def test_an_unknown_reader_or_field_is_refused(data_spec: Spec) -> None:
    with pytest.raises(ValidationError, match="bone_marrow"):
        data_spec(reader="imagenet")
    with pytest.raises(ValidationError, match="Extra inputs"):
        data_spec(reader="pcam", edge=96)


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


# Real data


def test_real_cells(shared_data: Path, data_spec: Spec) -> None:
    listing = data_spec(reader="bone_marrow", groups="groups.csv").scan(shared_data)
    counts = {label: sum(item.label == label for item in listing.items) for label in ("NGS", "LYT", "MON", "EOS")}
    assert counts == {"NGS": 176, "LYT": 53, "MON": 48, "EOS": 22}
    assert len(listing.items) == sum(counts.values())
    assert len({item.group for item in listing.items}) == len(listing.items) - 1
    assert decode(listing.load(0), None).shape == (120, 120, 3)


def test_real_patches(shared_data: Path, data_spec: Spec) -> None:
    listing = data_spec(reader="pcam").scan(shared_data)
    parts = [item.part for item in listing.items]
    assert {part: parts.count(part) for part in set(parts)} == {"train": 1200, "val": 200, "test": 200}
    patch = listing.load(1234)
    assert isinstance(patch, np.ndarray)
    assert patch.shape == (96, 96, 3)
    assert patch.std() > 5


def test_real_pets(shared_data: Path, data_spec: Spec) -> None:
    listing = data_spec(reader="cats_vs_dogs").scan(shared_data)
    labels = [item.label for item in listing.items]
    assert {label: labels.count(label) for label in set(labels)} == {"Cat": 501, "Dog": 501}
    with pytest.raises(ValueError, match="empty"):
        decode(listing.load([item.image_id for item in listing.items].index("PetImages/Cat/666.jpg")), None)
    Image.open(shared_data / "cats_vs_dogs" / listing.items[0].image_id).verify()


def test_at_most_so_many_images_of_each_class_are_used(
    tmp_path: Path, data_spec: Callable[..., Any], write_image: Callable[..., Path]
) -> None:
    for name, count in (("A", 9), ("B", 2)):
        for number in range(count):
            write_image(tmp_path / "cells" / name / f"{number}.png")
    whole = data_spec(reader="image_folder", path="cells").listing(tmp_path)
    some = data_spec(reader="image_folder", path="cells", at_most=3).listing(tmp_path)
    names = [item.image_id for item in some.items]
    assert [name[0] for name in names] == ["A", "A", "A", "B", "B"]
    assert names == sorted(names)
    places = {item.image_id: i for i, item in enumerate(whole.items)}
    assert [some.load(i) for i in range(5)] == [whole.load(places[name]) for name in names]
    fewer = data_spec(reader="image_folder", path="cells", at_most=2).listing(tmp_path)
    assert {item.image_id for item in fewer.items} < set(names), "a smaller trial is part of a larger one"

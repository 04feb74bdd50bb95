"""Tests of the reader of cats and dogs."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from tests.trainables.support.reading import Spec, Write, refused, scanned
from trainables.data.packing.decode import decode
from trainables.data.packing.prepare import prepare


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


def test_real_pets(shared_data: Path, data_spec: Spec) -> None:
    listing = data_spec(reader="cats_vs_dogs").scan(shared_data)
    labels = [item.label for item in listing.items]
    assert {label: labels.count(label) for label in set(labels)} == {"Cat": 501, "Dog": 501}
    with pytest.raises(ValueError, match="empty"):
        decode(listing.load([item.image_id for item in listing.items].index("PetImages/Cat/666.jpg")), None)
    Image.open(shared_data / "cats_vs_dogs" / listing.items[0].image_id).verify()

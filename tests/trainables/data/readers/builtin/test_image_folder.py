"""Tests of the reader of a folder for each class."""

from __future__ import annotations

from pathlib import Path

from tests.trainables.support.reading import Spec, Write, refused, scanned


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

"""Depth, transparency, orientation, damage and format of images: against values computed here, and against Pillow."""

from __future__ import annotations

import io
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from trainables.data.packing.decode import decode, read
from trainables.data.packing.prepare import Packed, prepare
from trainables.data.readers.pixel_rules import AS_STORED, PixelRules

Spec = Callable[..., Any]
RULES = PixelRules(upright=True, background=(255, 255, 255), depth="scale", refuse_damaged=True)


def noise(*shape: int, dtype: Any = np.uint8, high: int = 256) -> np.ndarray:
    found: np.ndarray = np.random.default_rng(0).integers(0, high, shape).astype(dtype)
    return found


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("depth", ["scale", (0.0, 4095.0), (100.0, 3000.0)])
def test_16_bits_are_scaled_by_the_stated_range(kind: str, depth: Any) -> None:
    values = noise(20, 20, dtype=np.uint16, high=4096)
    low, high = (0, 65535) if depth == "scale" else depth
    found = read(encoded(Image.fromarray(values), kind), PixelRules(depth=depth))
    expected = np.rint(np.clip((values.astype(float) - low) / (high - low), 0, 1) * 255)
    assert np.array_equal(found.pixels, np.repeat(expected[..., None], 3, 2))
    assert found.touched == f"values from {low:g} to {high:g} scaled to 8 bits"
    assert read(encoded(Image.fromarray(values), kind), AS_STORED).touched == ""


def test_float_values_are_scaled_or_refused() -> None:
    share = np.random.default_rng(0).random((20, 20), dtype=np.float32)
    found = read(encoded(Image.fromarray(share), "TIFF"), RULES).pixels
    assert np.array_equal(found[..., 0], np.rint(share.astype(float) * 255))
    for values, words in (
        (share * 300, r"float values beyond 0 to 1.*`depth: \[low, high\]`"),
        (share * np.nan, "no number"),
    ):
        with pytest.raises(ValueError, match=words):
            read(encoded(Image.fromarray(values), "TIFF"), RULES)
    with pytest.raises(ValueError, match="32-bit or signed integers"):
        read(encoded(Image.fromarray(noise(9, 9, dtype=np.int32)), "TIFF"), RULES)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "PA-bytes"])
@pytest.mark.parametrize("colour", [(255, 255, 255), (10, 200, 30)])
def test_transparent_pixels_are_laid_on_the_stated_colour(mode: str, colour: tuple[int, int, int]) -> None:
    rgba = Image.fromarray(noise(24, 24, 4), "RGBA")
    if mode == "P":
        image = rgba.convert("RGB").quantize(16)
        content = encoded(image, "PNG", transparency=3)
    elif mode == "PA-bytes":
        image = rgba.convert("RGB").quantize(16)
        content = encoded(image, "PNG", transparency=bytes(range(0, 256, 16)))
    else:
        content = encoded(rgba.convert(mode), "PNG")
    found = read(content, PixelRules(background=colour))
    shown = np.asarray(Image.open(io.BytesIO(content)).convert("RGBA")).astype(float)
    share = shown[..., 3:] / 255
    assert np.abs(found.pixels - (shown[..., :3] * share + np.array(colour) * (1 - share))).max() <= 0.5
    assert found.touched == "laid on #" + bytes(colour).hex()
    hidden = read(content, AS_STORED)
    assert np.array_equal(hidden.pixels, np.asarray(Image.open(io.BytesIO(content)).convert("RGB")))
    assert hidden.touched == ""


def test_an_opaque_image_is_untouched() -> None:
    pixels = np.dstack([noise(9, 9, 3), np.full((9, 9), 255, np.uint8)])
    found = read(encoded(Image.fromarray(pixels, "RGBA"), "PNG"), RULES)
    assert found.touched == ""
    assert np.array_equal(found.pixels, pixels[..., :3])


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_are_turned_as_viewers_show_them(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if kind == "WEBP" else {}
    content = encoded(Image.fromarray(noise(24, 40, 3)), kind, exif=exif, **options)
    found = read(content, RULES)
    assert np.array_equal(
        found.pixels, np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(content))).convert("RGB"))
    )
    by_pillow = kind == "TIFF"  # in every edition: nothing is touched
    assert found.touched == ("" if orientation == 1 or by_pillow else f"turned by its orientation {orientation}")
    assert np.array_equal(decode(content, None), np.asarray(Image.open(io.BytesIO(content)).convert("RGB")))
    assert np.array_equal(decode(content, 16, None, RULES).shape, (16, 16, 3))


def test_a_damaged_jpeg_is_refused_and_a_harmless_one_stays() -> None:
    whole = encoded(Image.fromarray(noise(64, 64, 3)), "JPEG")
    for mode in ("RGB", "CMYK"):
        content = encoded(Image.fromarray(noise(64, 64, 3)).convert(mode), "JPEG")
        cut = content[: len(content) // 2] + b"\xff\xd9"
        with pytest.raises(ValueError, match="damaged: its JPEG data are incomplete"):
            read(cut, RULES)
        assert read(cut, AS_STORED).pixels.shape == (64, 64, 3)
    for harmless in (whole + b"junk", whole[:-2] + b"\0\0\0\0" + whole[-2:]):
        assert read(harmless, RULES).pixels.shape == (64, 64, 3)


def test_a_second_page_is_said() -> None:
    pages = [Image.fromarray(noise(16, 16, 3)), Image.fromarray(255 - noise(16, 16, 3))]
    content = encoded(pages[0], "TIFF", save_all=True, append_images=pages[1:])
    found = read(content, RULES)
    assert found.remark == "2 pages: the first is used"
    assert np.array_equal(found.pixels, noise(16, 16, 3))


@pytest.mark.parametrize("kind", ["EPS", "PDF", "JPEG2000", "PPM", "TGA", "ICO", "PCX"])
def test_a_format_that_is_not_named_reaches_no_other_program(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    content = encoded(Image.fromarray(noise(32, 32, 3)), kind)

    def started(*_: Any, **__: Any) -> None:
        raise AssertionError("a program was started")

    monkeypatch.setattr(subprocess, "Popen", started)
    for rules in (AS_STORED, RULES):
        with pytest.raises(ValueError, match="not of a format that is read: PNG, JPEG, TIFF"):
            read(content, rules)


@pytest.fixture
def prepared(tmp_path: Path, data_spec: Spec) -> Callable[..., Packed]:
    def make(**fields: Any) -> Packed:
        spec = data_spec(reader="image_folder", path="set", size=24, **fields)
        return prepare("set", spec, tmp_path, tmp_path / "cache")

    return make


def test_a_rule_stands_in_the_row_of_the_image_it_touches_and_nowhere_else(
    tmp_path: Path, prepared: Callable[..., Packed]
) -> None:
    for name in "ab":
        (tmp_path / "set" / name).mkdir(parents=True)
        for number in range(3):
            image = Image.fromarray(
                np.random.default_rng(100 * ord(name) + number).integers(0, 256, (24, 24, 3), dtype=np.uint8)
            )
            image.save(tmp_path / "set" / name / f"{number}.png")
    rules = {
        "orientation": "upright",
        "background": "white",
        "depth": "scale",
        "keep": (),
        "tidy": True,
        "duplicates": "pixels",
    }
    assert prepared().fingerprint == prepared(**rules).fingerprint
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(noise(24, 24, 3)).save(tmp_path / "set" / "a" / "turned.jpg", exif=exif)
    first, mended = prepared(), prepared(**rules)
    assert first.fingerprint != mended.fingerprint
    touched = dict(
        zip(mended.index.column("image_id").to_pylist(), mended.index.column("touched").to_pylist(), strict=True)
    )
    assert {image_id: what for image_id, what in touched.items() if what} == {
        "a/turned.jpg": "turned by its orientation 6"
    }
    assert mended.notes == ("turned by its orientation 6: 1 images, e.g. a/turned.jpg",)
    assert first.fingerprint == prepared(tidy=True, background="black", depth="scale").fingerprint


def test_a_scaled_set_that_is_nearly_black_is_said(tmp_path: Path, prepared: Callable[..., Packed]) -> None:
    for name in "ab":
        (tmp_path / "set" / name).mkdir(parents=True)
        Image.fromarray(noise(24, 24, dtype=np.uint16, high=4096) // (1 + (name == "b"))).save(
            tmp_path / "set" / name / "0.png"
        )
    assert any("nearly black" in note and "depth: [low, high]" in note for note in prepared(depth="scale").notes)
    assert not any("nearly black" in note for note in prepared(depth=(0, 4095)).notes)

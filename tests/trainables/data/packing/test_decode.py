"""Tests of decoding: the bits of Pillow, whoever decodes."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from trainables.data.packing.decode import TRUSTED_PIXELS, decode


def saved(folder: Path, image: Image.Image, name: str, **options: Any) -> Path:
    image.save(folder / name, **options)
    return folder / name


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "CMYK", "1", "LA"])
def test_every_colour_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    image = Image.fromarray(pixels).convert(mode)
    file = saved(tmp_path, image, "x.tif" if mode == "CMYK" else "x.png")
    decoded = decode(file.read_bytes(), None)
    assert decoded.shape == (20, 30, 3)
    assert decoded.dtype == np.uint8
    assert np.array_equal(decoded, np.asarray(image.convert("RGB")))


@pytest.mark.parametrize(
    ("name", "tolerance"), [("x.jpg", 12), ("x.webp", 12), ("x.bmp", 0), ("x.tif", 0), ("x.png", 0)]
)
def test_every_format_is_decoded(tmp_path: Path, name: str, tolerance: int) -> None:
    ramp = np.linspace(40, 200, 32 * 32).reshape(32, 32, 1).repeat(3, 2).astype(np.uint8)
    decoded = decode(saved(tmp_path, Image.fromarray(ramp), name).read_bytes(), None)
    assert np.abs(decoded.astype(int) - ramp).max() <= tolerance


@pytest.mark.parametrize(
    ("mode", "options"),
    [
        ("RGB", {"quality": 75}),
        ("RGB", {"quality": 99, "subsampling": 0}),
        ("RGB", {"quality": 30, "subsampling": 1}),
        ("RGB", {"quality": 85, "progressive": True, "optimize": True}),
        ("L", {"quality": 80}),
        ("CMYK", {"quality": 90}),
    ],
)
@pytest.mark.parametrize("turned", [False, True])
def test_a_jpeg_has_the_bits_that_pil_decodes(tmp_path: Path, mode: str, options: dict[str, Any], turned: bool) -> None:
    """Whoever decodes it; and, as with Pillow, a note of how the camera was held turns nothing."""
    noise = np.random.default_rng(0).integers(0, 256, (9, 11, 3), dtype=np.uint8)
    image = Image.fromarray(noise).resize((77, 53), Image.Resampling.BICUBIC).convert(mode)
    exif = Image.Exif()
    exif[0x0112] = 6 if turned else 1
    content = saved(tmp_path, image, "x.jpg", exif=exif, **options).read_bytes()
    assert np.array_equal(decode(content, None), np.asarray(Image.open(tmp_path / "x.jpg").convert("RGB")))
    square = ImageOps.fit(Image.open(tmp_path / "x.jpg").convert("RGB"), (32, 32), Image.Resampling.BILINEAR)
    assert np.array_equal(decode(content, 32), np.asarray(square))


@pytest.mark.parametrize("share", [0.3, 0.9, 0.999])
@pytest.mark.parametrize("ending", [b"", b"\xff\xd9", b"\0" * 512])
def test_a_jpeg_that_is_cut_off_comes_out_as_with_pil(tmp_path: Path, share: float, ending: bytes) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (60, 60, 3), dtype=np.uint8)
    whole = saved(tmp_path, Image.fromarray(noise), "x.jpg").read_bytes()
    content = whole[: int(len(whole) * share)] + ending
    try:
        expected = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
    except OSError:
        with pytest.raises(OSError, match="truncated"):
            decode(content, None)
    else:
        assert np.array_equal(decode(content, None), expected)


def test_a_size_scales_the_shorter_side_and_cuts_the_centre_out() -> None:
    wide = np.zeros((40, 80, 3), dtype=np.uint8)
    wide[:, 20:60] = 200  # the centre; what is beside it is black
    decoded = decode(wide, 20)
    assert decoded.shape == (20, 20, 3)
    assert decoded[:, 1:-1].min() == 200
    assert decode(wide.transpose(1, 0, 2).copy(), 20).shape == (20, 20, 3)
    assert np.array_equal(decode(wide[:, 20:60].copy(), 40), wide[:, 20:60])


def test_an_image_that_pillow_takes_for_an_attack_is_left_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Image.MAX_IMAGE_PIXELS == TRUSTED_PIXELS
    content = saved(tmp_path, Image.new("RGB", (40, 40)), "x.jpg").read_bytes()
    monkeypatch.setattr("trainables.data.packing.decode.TRUSTED_PIXELS", 1000)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 500)
    with pytest.raises(Image.DecompressionBombError):
        decode(content, None)


def test_an_image_is_decoded_into_the_memory_given_where_it_fits(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (30, 30, 3), dtype=np.uint8)
    content = saved(tmp_path, Image.fromarray(noise), "x.jpg").read_bytes()
    fits, other = np.zeros((30, 30, 3), np.uint8), np.zeros((20, 20, 3), np.uint8)
    assert decode(content, None, fits) is fits
    assert np.array_equal(fits, decode(content, None))
    assert np.array_equal(decode(content, 20, other), decode(content, 20))
    assert not other.any()

"""Tests of the random changes of training images."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from trainables.data.loading.augment import AugmentParameters, apply, draw, plain, uniforms
from trainables.specs import Augmentation

NOTHING = {name: 0.0 for name in Augmentation.model_fields if name not in ("flip", "operations")}
LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
MANY = np.arange(20_000, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)  # like image numbers: of all 64 bits
Images = NDArray[np.uint8]


def spec(**fields: float | bool) -> Augmentation:
    """Nothing but what is named."""
    return Augmentation.model_validate({"flip": False} | NOTHING | fields)


def photos(count: int, edge: int) -> Images:
    return np.random.default_rng(0).integers(0, 256, (count, edge, edge, 3), dtype=np.uint8)


def constant(colour: tuple[int, int, int], edge: int = 16, count: int = 8) -> Images:
    return np.full((count, edge, edge, 3), colour, dtype=np.uint8)


# The numbers


def splitmix64(seed: int, image: int, position: int) -> float:
    """The same in plain integers."""

    def mix(x: int) -> int:
        x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        x = (x ^ (x >> 27)) * 0x94D049BB133111EB % 2**64
        return x ^ (x >> 31)

    return (mix((mix(image ^ mix(seed)) + (position + 1) * 0x9E3779B97F4A7C15) % 2**64) >> 11) / 2**53


@given(st.integers(0, 2**63 - 1), st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=4))
def test_numbers_are_those_of_the_algorithm(seed: int, images: list[int]) -> None:
    expected = [[splitmix64(seed, image, position) for position in range(5)] for image in images]
    assert uniforms(seed, np.array(images, dtype=np.uint64), 5).tolist() == expected


def test_known_numbers() -> None:
    """If they change, a study that goes on after an update is no longer paired with its first half."""
    known = uniforms(7, np.array([0, 1, 2**64 - 1], dtype=np.uint64), 2)
    assert known.tolist() == [
        [0.7057653734953507, 0.4368036241616128],
        [0.39354568948935553, 0.9966961463138019],
        [0.7872487971397493, 0.6502871236680159],
    ]


@settings(max_examples=30)
@given(st.integers(0, 2**63 - 1), st.permutations(range(12)), st.integers(1, 12))
def test_changes_are_the_same_in_any_order_and_any_batches(seed: int, order: list[int], size: int) -> None:
    numbers = MANY[:12]
    whole = draw(Augmentation(), seed, numbers, 20, 24)
    for start in range(0, 12, size):
        rows = order[start : start + size]
        part = draw(Augmentation(), seed, numbers[rows], 20, 24)
        assert np.array_equal(part.affine, whole.affine[rows])
        assert np.array_equal(part.colour, whole.colour[rows])


def test_changed_images_are_the_same_in_any_order_and_any_batches() -> None:
    images, numbers = photos(7, 20), MANY[:7]
    whole = apply(images, draw(Augmentation(), 3, numbers, 20, 24), 24)
    for rows in ([6, 2, 0], [1], [5, 4, 3]):
        part = apply(images[rows], draw(Augmentation(), 3, numbers[rows], 20, 24), 24)
        assert np.array_equal(part, whole[rows])


def test_other_seeds_and_other_images_get_other_changes() -> None:
    drawn = [draw(Augmentation(), seed, MANY[:50], 20, 24) for seed in (1, 2)]
    rows = np.concatenate([np.concatenate([c.affine.reshape(50, -1), c.colour.reshape(50, -1)], 1) for c in drawn])
    assert len(np.unique(rows[:, 0].round(12))) == 100
    assert len(np.unique(rows[:, 6].round(12))) == 100


def test_numbers_are_even_and_independent() -> None:
    numbers = uniforms(5, MANY, 12)
    assert numbers.min() >= 0
    assert numbers.max() < 1
    even = (np.arange(len(MANY)) + 0.5) / len(MANY)
    assert np.abs(np.sort(numbers, axis=0) - even[:, None]).max() < 2 / np.sqrt(len(MANY))
    others = np.concatenate([numbers, uniforms(6, MANY, 12), np.roll(numbers, 1, axis=0)], axis=1)
    correlation = np.corrcoef(others.T) - np.eye(36)
    assert np.abs(correlation).max() < 5 / np.sqrt(len(MANY))


# Geometry


@pytest.mark.parametrize("edge", [16, 37, 224])
def test_plain_at_the_same_size_changes_nothing(edge: int) -> None:
    images = photos(3, edge)
    assert np.array_equal(apply(images, plain(3, edge, edge), edge), images)


@pytest.mark.parametrize(("source", "target"), [(24, 24), (24, 40), (40, 24)])
def test_a_specification_of_nothing_is_plain(source: int, target: int) -> None:
    images = photos(5, source)
    change = draw(spec(), 9, MANY[:5], source, target)
    assert np.array_equal(apply(images, change, target), apply(images, plain(5, source, target), target))


@pytest.mark.parametrize(("source", "target"), [(48, 24), (40, 30), (24, 48), (20, 33)])
def test_plain_at_another_size_is_bilinear_resizing(source: int, target: int) -> None:
    smooth = np.stack([cv2.GaussianBlur(photo, (0, 0), 2) for photo in photos(2, source)])
    ours = apply(smooth, plain(2, source, target), target)
    theirs = np.stack([cv2.resize(photo, (target, target), interpolation=cv2.INTER_LINEAR) for photo in smooth])
    inner = slice(2, -2)  # at the border resize repeats pixels, and we mirror them
    assert np.abs(ours.astype(int) - theirs)[:, inner, inner].max() <= 2


def test_a_flip_is_an_exact_mirror_image() -> None:
    images = photos(64, 17)
    change = draw(spec(flip=True), 1, MANY[:64], 17, 17)
    changed = apply(images, change, 17)
    seen = set()
    for before, after, affine in zip(images, changed, change.affine, strict=True):
        left_right, up_down = affine[0, 0] < 0, affine[1, 1] < 0
        seen.add((left_right, up_down))
        assert np.array_equal(after, before[:: -1 if up_down else 1, :: -1 if left_right else 1])
    assert len(seen) == 4


def test_each_flip_comes_half_the_time_and_by_itself() -> None:
    affine = draw(spec(flip=True), 2, MANY, 20, 20).affine
    quarters = [((affine[:, 0, 0] < 0) == a) & ((affine[:, 1, 1] < 0) == b) for a in (0, 1) for b in (0, 1)]
    assert [quarter.mean() for quarter in quarters] == pytest.approx([0.25] * 4, abs=0.015)


def test_angles_are_even_up_to_the_largest() -> None:
    affine = draw(spec(rotate=90), 3, MANY, 20, 20).affine
    angles = np.sort(np.rad2deg(np.arctan2(affine[:, 1, 0], affine[:, 0, 0])))
    assert np.abs(angles - np.linspace(-90, 90, len(MANY))).max() < 3
    assert np.linalg.det(affine[:, :, :2]) == pytest.approx(1)


def test_sizes_and_shifts_stay_within_their_bounds_and_reach_them() -> None:
    affine = draw(spec(scale=0.2), 4, MANY, 30, 60).affine
    zoom = 30 / 60 / affine[:, 0, 0]
    assert (zoom.min(), zoom.max()) == pytest.approx((0.8, 1.2), abs=1e-3)
    centre = np.array([29.5, 29.5, 1])
    assert affine @ centre == pytest.approx(np.full((len(MANY), 2), 14.5))
    shifts = draw(spec(shift=0.25), 5, MANY, 40, 60).affine @ centre - 19.5
    assert [*shifts.min(0), *shifts.max(0)] == pytest.approx([-10, -10, 10, 10], abs=0.02)


def test_a_rotated_spot_is_where_the_matrix_says() -> None:
    images = np.zeros((20, 41, 41, 3), dtype=np.uint8)
    images[:, 8:11, 28:31] = 255
    change = draw(spec(rotate=180, flip=True), 6, MANY[:20], 41, 41)
    for image, affine in zip(apply(images, change, 41), change.affine, strict=True):
        y, x = np.average(np.indices((41, 41)).reshape(2, -1), axis=1, weights=image[:, :, 0].reshape(-1))
        assert affine @ [x, y, 1] == pytest.approx([29, 9], abs=0.3)


def test_the_border_is_mirrored_and_brings_in_no_black() -> None:
    bright = constant((210, 180, 150), edge=32, count=200)
    change = draw(spec(flip=True, rotate=180, scale=0.9, shift=0.5), 7, MANY[:200], 32, 32)
    assert np.array_equal(apply(bright, change, 32), bright)


def test_a_mirrored_border_continues_the_image() -> None:
    """The pixel at the border comes once, the ones before it come back."""
    image = photos(1, 16)
    shift = AugmentParameters(np.array([[[1.0, 0.0, 5.0], [0.0, 1.0, -3.0]]]), np.eye(3, 4)[np.newaxis])
    x, y = np.arange(16) + 5, np.abs(np.arange(16) - 3)
    expected = image[0][np.ix_(y, np.where(x > 15, 30 - x, x))]
    assert np.array_equal(apply(image, shift, 16)[0], expected)


# Colour


def colours(images: Images, change_spec: Augmentation, seed: int = 11) -> NDArray[np.float64]:
    """Return the colour that each image of one colour comes out in."""
    count, edge = images.shape[:2]
    changed = apply(images, draw(change_spec, seed, MANY[:count], edge, edge), edge)
    assert (changed == changed[:, :1, :1]).all()
    return changed[:, 0, 0].astype(float)


def test_brightness_multiplies_all_channels_alike() -> None:
    found = colours(constant((100, 50, 150), count=200), spec(brightness=0.2))
    factor = found[:, 0] / 100
    assert (factor.min(), factor.max()) == pytest.approx((0.8, 1.2), abs=0.02)
    assert np.abs(found - factor[:, None] * [100, 50, 150]).max() <= 1.5


def test_contrast_turns_about_mid_grey() -> None:
    half = draw(spec(contrast=0.5), 11, MANY[:200], 16, 16).colour @ [127.5, 127.5, 127.5, 1]
    assert half == pytest.approx(np.full((200, 3), 127.5))
    found = colours(constant((200, 200, 200), count=200), spec(contrast=0.5))
    assert (found.min(), found.max()) == pytest.approx((127.5 + 72.5 * 0.5, 127.5 + 72.5 * 1.5), abs=2)


def test_saturation_leaves_grey_and_luminance_alone() -> None:
    assert (colours(constant((90, 90, 90), count=50), spec(saturation=0.5)) == 90).all()
    found = colours(constant((120, 100, 140), count=50), spec(saturation=0.5))
    assert found @ LUMA == pytest.approx(np.full(50, np.array([120, 100, 140]) @ LUMA), abs=1)
    assert found[:, 2].max() - found[:, 2].min() > 10
    grey = draw(spec(saturation=1.0), 1, MANY, 16, 16).colour @ [120, 100, 140, 1]
    assert grey.std(axis=1).min() < 0.1


def test_stain_changes_each_channel_by_itself() -> None:
    found = colours(constant((100, 100, 100), count=400), spec(stain=0.2))
    assert [*found.min(0), *found.max(0)] == pytest.approx([80] * 3 + [120] * 3, abs=1.5)
    assert np.abs(np.corrcoef(found.T) - np.eye(3)).max() < 0.2


def test_colours_do_not_wrap_around() -> None:
    bright = colours(constant((250, 250, 250), count=50), spec(brightness=0.9))
    assert bright.max() == 255
    dark = colours(constant((3, 3, 3), count=50), spec(contrast=0.9))
    assert dark.min() == 0
    assert bright.min() < 250


def test_one_image_of_a_batch_that_keeps_its_colour_does_not_decide_for_the_others() -> None:
    images = constant((100, 100, 100), count=2)
    change = draw(spec(brightness=0.5), 1, MANY[:2], 16, 16)
    change.colour[0] = np.eye(3, 4)
    changed = apply(images, change, 16)
    assert (changed[0] == 100).all()
    assert (changed[1] != 100).all()


def test_images_given_are_not_changed_in_place() -> None:
    images = photos(3, 16)
    before = images.copy()
    apply(images, draw(Augmentation(), 1, MANY[:3], 16, 16), 16)
    assert np.array_equal(images, before)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(("source", "target"), [(250, 224), (96, 112)])
def test_the_fast_way_gives_the_bits_of_the_plain_way(threads: int, source: int, target: int) -> None:
    images, before = photos(7, source), cv2.getNumThreads()
    change = draw(Augmentation(), 1, MANY[:7], source, target)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    border = cv2.BORDER_REFLECT_101
    warped = [
        cv2.warpAffine(image, affine, (target, target), flags=flags, borderMode=border)
        for image, affine in zip(images, change.affine, strict=True)
    ]
    wanted = np.stack([cv2.transform(image, colour) for image, colour in zip(warped, change.colour, strict=True)])
    try:
        cv2.setNumThreads(threads)
        assert np.array_equal(apply(images, change, target), wanted)
    finally:
        cv2.setNumThreads(before)

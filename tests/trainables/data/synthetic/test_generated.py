"""Tests of the generated image sets."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.trainables.support.generated_set import GeneratedSet, generate
from trainables.data.synthetic.generated import DEFINING_REGION, GENERATOR_VERSION, GENERATORS

NAMES = sorted(GENERATORS)


@pytest.fixture(scope="module")
def cells() -> GeneratedSet:
    return generate("blood_cells", 40, 64, seed=1)


def _masks(cells: GeneratedSet, name: str) -> NDArray[np.uint8]:
    assert cells.masks is not None
    chosen: NDArray[np.uint8] = cells.masks[cells.labels == cells.classes.index(name)]
    return chosen


def _same(first: NDArray[np.uint8] | None, second: NDArray[np.uint8] | None) -> bool:
    if first is None or second is None:
        return first is second
    return np.array_equal(first, second)


@pytest.mark.parametrize("name", NAMES)
def test_shapes_and_types(name: str) -> None:
    made = generate(name, 3, 48, seed=0)
    count = 3 * len(made.classes)
    assert made.images.shape == (count, 48, 48, 3)
    assert made.images.dtype == np.uint8
    assert made.labels.dtype == np.int64
    assert made.labels.tolist() == [label for label in range(len(made.classes)) for _ in range(3)]
    assert made.classes == GENERATORS[name].classes
    assert len(set(made.image_ids)) == count
    assert made.image_ids[4] == f"{made.classes[1]}/0001"
    assert made.images.std(axis=(1, 2)).min() > 1, "an image is blank"


@pytest.mark.parametrize("name", NAMES)
def test_same_arguments_give_the_same_set(name: str) -> None:
    first, second = generate(name, 2, 40, seed=5), generate(name, 2, 40, seed=5)
    assert _same(first.images, second.images)
    assert _same(first.masks, second.masks)
    assert first.groups == second.groups


@pytest.mark.parametrize("name", NAMES)
def test_the_pixels_are_those_of_this_version(name: str) -> None:
    """One image a class, kept in a file. Other processors and versions of OpenCV may round a few pixels differently.

    Where pixels are to change: raise GENERATOR_VERSION and write the file of that version with ``np.savez_compressed``.
    """
    kept = np.load(Path(__file__).with_name(f"version_{GENERATOR_VERSION}.npz"))
    made = generate(name, 1, 32, seed=7)
    assert made.images.shape == kept[name].shape
    difference = np.abs(made.images.astype(int) - kept[name])
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.001
    assert _same(made.masks, kept.get(f"{name}_masks"))


@pytest.mark.parametrize("name", NAMES)
def test_no_two_images_are_the_same_within_or_between_seeds(name: str) -> None:
    images = np.concatenate([generate(name, 3, 32, seed).images for seed in (0, 1)])
    assert len(np.unique(images.reshape(len(images), -1), axis=0)) == len(images)


@pytest.mark.parametrize("name", NAMES)
def test_an_image_does_not_depend_on_how_many_are_made(name: str) -> None:
    few, many = generate(name, 2, 40, seed=3), generate(name, 7, 40, seed=3)
    rows = [many.image_ids.index(image_id) for image_id in few.image_ids]
    assert np.array_equal(few.images, many.images[rows])
    assert _same(few.masks, None if many.masks is None else many.masks[rows])
    assert few.groups == (None if many.groups is None else tuple(many.groups[row] for row in rows))


@pytest.mark.parametrize("name", NAMES)
def test_only_blood_cells_have_masks_and_groups(name: str) -> None:
    made = generate(name, 1, 32, seed=0)
    assert (made.masks is not None) == (made.groups is not None) == (name == "blood_cells")


def test_masks_hold_a_nucleus_inside_a_cell(cells: GeneratedSet) -> None:
    assert cells.masks is not None
    assert cells.masks.shape == cells.images.shape[:3]
    assert cells.masks.dtype == np.uint8
    for mask in cells.masks:
        assert set(np.unique(mask)) == {0, 1, 2}
        assert cv2.connectedComponents((mask > 0).astype(np.uint8))[0] == 2, "the cell is not in one piece"
        rim = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
        assert not rim.any(), "the cell is cut off"


def test_masks_lie_over_what_the_image_shows(cells: GeneratedSet) -> None:
    assert cells.masks is not None
    for image, mask in zip(cells.images, cells.masks, strict=True):
        assert image[mask == 2].mean() < image[mask == 1].mean() < image[mask == 0].max(axis=-1).mean()


def test_defining_region_names_parts_of_every_class(cells: GeneratedSet) -> None:
    assert tuple(DEFINING_REGION) == cells.classes
    assert all(values and set(values) <= {1, 2} for values in DEFINING_REGION.values())


def test_patients_have_about_six_images_of_mixed_classes(cells: GeneratedSet) -> None:
    assert cells.groups is not None
    patients, sizes = np.unique(cells.groups, return_counts=True)
    assert all(patient.startswith("patient_") for patient in patients)
    assert 5 <= sizes.mean() <= 8
    assert sizes.min() < sizes.max()
    mixed = [len(set(cells.labels[np.array(cells.groups) == patient])) > 1 for patient in patients]
    assert np.mean(mixed) > 0.8


def test_images_of_a_patient_share_a_stain(cells: GeneratedSet) -> None:
    assert cells.groups is not None
    groups = np.array(cells.groups)
    colours = cells.images.mean(axis=(1, 2))
    within = [colours[groups == patient].std(axis=0) for patient in np.unique(groups) if sum(groups == patient) > 2]
    assert np.mean(within) < 0.8 * colours.std(axis=0).mean()


def test_mean_colour_does_not_give_the_class_away(cells: GeneratedSet) -> None:
    other = generate("blood_cells", 40, 64, seed=2)

    def mean_colours(of: GeneratedSet, cell_only: bool) -> NDArray[np.float64]:
        assert of.masks is not None
        pairs = zip(of.images, of.masks, strict=True)
        return np.array([image[(mask > 0) | (not cell_only)].mean(axis=0) for image, mask in pairs])

    for cell_only in (False, True):
        colours = mean_colours(cells, cell_only)
        centres = np.array([colours[cells.labels == label].mean(axis=0) for label in range(len(cells.classes))])
        distances = np.linalg.norm(mean_colours(other, cell_only)[:, None] - centres, axis=-1)
        assert (distances.argmin(axis=1) == other.labels).mean() < 0.6


def test_nucleus_of_lymphocytes_fills_the_cell_most(cells: GeneratedSet) -> None:
    ratio = {
        name: np.mean([(mask == 2).sum() / (mask > 0).sum() for mask in _masks(cells, name)]) for name in cells.classes
    }
    lymphocyte = ratio.pop("lymphocyte")
    assert lymphocyte > 1.5 * max(ratio.values())


def test_monocytes_are_the_largest_and_lymphocytes_the_smallest(cells: GeneratedSet) -> None:
    area = {name: (_masks(cells, name) > 0).mean() for name in cells.classes}
    assert max(area, key=lambda name: area[name]) == "monocyte"
    assert min(area, key=lambda name: area[name]) == "lymphocyte"


def test_number_of_lobes_differs_between_kinds(cells: GeneratedSet) -> None:
    def lobes(mask: NDArray[np.uint8]) -> int:
        depth = cv2.distanceTransform((mask == 2).astype(np.uint8), cv2.DIST_L2, 5)
        return int(cv2.connectedComponents((depth > 0.7 * depth.max()).astype(np.uint8))[0]) - 1

    mean = {name: np.mean([lobes(mask) for mask in _masks(cells, name)]) for name in cells.classes}
    assert mean["neutrophil_segmented"] > mean["eosinophil"] > mean["monocyte"] > 0.9
    assert mean["neutrophil_segmented"] > 1.3 * mean["neutrophil_band"]
    assert mean["lymphocyte"] < 1.1


def test_unknown_name_is_refused_with_the_valid_ones() -> None:
    with pytest.raises(ValueError, match="blood_cells, tissue_patches, scenes"):
        generate("plankton", 1, 64, seed=0)


@pytest.mark.parametrize(
    ("images_per_class", "size", "seed", "what"),
    [(0, 64, 0, "images_per_class"), (1, 31, 0, "size"), (1, 64, -1, "seed")],
)
def test_numbers_below_their_minimum_are_refused(images_per_class: int, size: int, seed: int, what: str) -> None:
    with pytest.raises(ValueError, match=f"{what} must be at least"):
        generate("scenes", images_per_class, size, seed)

"""Tests of the reader of generated images."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.trainables.support.reading import Spec


def test_generated_images_are_those_of_the_generator(tmp_path: Path, data_spec: Spec) -> None:
    from tests.trainables.support.generated_set import generate

    spec = data_spec(reader="generated", generator="blood_cells", images_per_class=2, size=40, seed=3)
    listing, made = spec.scan(tmp_path), generate("blood_cells", 2, 40, 3)
    assert tuple(item.image_id for item in listing.items) == made.image_ids
    assert tuple(item.group for item in listing.items) == made.groups
    assert tuple(item.label for item in listing.items) == tuple(made.classes[label] for label in made.labels)
    assert all(np.array_equal(listing.load(i), made.images[i]) for i in range(len(made.images)))

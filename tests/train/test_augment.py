"""Augmentation: the same for the same seed, and of the paper's shape."""

import numpy as np
import pytest
from conftest import picture

from in21k.train.augment import Augmentation, cut_out


def augmented(augmentation: Augmentation, epoch: int, position: int):
    image = np.array(picture(1, 1))
    augmentation.apply(image, epoch, position)
    return image


def test_each_image_has_its_own_randomness():
    augmentation = Augmentation(0, 0.5, 2, 9)
    same = augmented(augmentation, 1, 2)
    np.testing.assert_array_equal(augmented(augmentation, 1, 2), same)
    assert any((augmented(augmentation, 1, position) != same).any() for position in range(3, 6))
    assert any((augmented(augmentation, epoch, 2) != same).any() for epoch in range(2, 5))


def test_nothing_is_done_when_all_is_off():
    np.testing.assert_array_equal(augmented(Augmentation(0, 0.0, 0, 9), 0, 0), np.array(picture(1, 1)))


@pytest.mark.parametrize("seed", range(20))
def test_cutout_fills_one_rectangle_of_one_colour(seed):
    image = np.full((32, 40, 3), 300 % 256, np.uint8)
    before = image.copy()
    cut_out(image, 0.5, np.random.default_rng(seed))
    rows, columns = np.nonzero((image != before).any(2))
    assert len(rows), "the square's centre lies in the image"
    height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
    assert len(rows) == height * width
    assert 8 <= height <= 16
    assert 10 <= width <= 20
    assert len(np.unique(image[rows, columns], axis=0)) == 1

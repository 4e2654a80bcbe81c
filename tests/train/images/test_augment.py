"""Augmentation: the same for the same seed, and distributed as it should be."""

import numpy as np
import pytest
from small_dataset import picture

from in21k.train.images.augment_cpu import augment
from in21k.train.images.augment_draws import OPS, Augmentation, cutout_box, draw
from in21k.train.images.crops import crop_offsets


def augmented(augmentation: Augmentation, epoch: int, position: int):
    image = np.array(picture(1, 1))
    augment(image, augmentation, draw(augmentation, epoch, position, 1), 0)
    return image


def test_each_image_has_its_own_randomness():
    augmentation = Augmentation(0, 0.5, 2, 9)
    same = augmented(augmentation, 1, 2)
    np.testing.assert_array_equal(augmented(augmentation, 1, 2), same)
    assert any((augmented(augmentation, 1, position) != same).any() for position in range(3, 6))
    assert any((augmented(augmentation, epoch, 2) != same).any() for epoch in range(2, 5))


def test_nothing_is_done_when_all_is_off():
    np.testing.assert_array_equal(augmented(Augmentation(0, 0.0, 0, 9), 0, 0), np.array(picture(1, 1)))


def test_draws_belong_to_positions_not_to_batches():
    augmentation = Augmentation(3, 0.5, 4, 9)
    whole, part = draw(augmentation, 5, 100, 50), draw(augmentation, 5, 120, 7)
    for name in ("center", "color", "ops", "signs"):
        np.testing.assert_array_equal(getattr(whole, name)[20:27], getattr(part, name))


def test_draws_are_even_and_independent():
    count = 28_000
    draws = draw(Augmentation(0, 0.5, 2, 9), 0, 0, count)
    for at in (0, 1):
        share = np.bincount(draws.ops[:, at], minlength=len(OPS)) / count * len(OPS)
        assert np.abs(share - 1).max() < 0.1
        assert abs(draws.signs[:, at].mean()) < 0.02
    pairs = np.bincount(draws.ops[:, 0] * len(OPS) + draws.ops[:, 1], minlength=len(OPS) ** 2) / count * len(OPS) ** 2
    assert pairs.min() > 0.5
    assert pairs.max() < 1.6
    assert np.abs(draws.center.mean(0) - 0.5).max() < 0.01
    assert np.abs(draws.color.mean(0) - 127.5).max() < 2
    offsets = crop_offsets(0, 0, 0, count)
    assert np.abs(np.corrcoef(np.c_[draws.center, offsets, draws.color].T) - np.eye(7)).max() < 0.03
    other = draw(Augmentation(1, 0.5, 2, 9), 0, 0, count)
    assert abs(np.corrcoef(other.center[:, 0], draws.center[:, 0])[0, 1]) < 0.03


def test_neighbors_share_no_draws():
    draws, offsets = draw(Augmentation(0, 0.5, 3, 9), 0, 0, 28_000), crop_offsets(0, 0, 0, 28_000)
    assert np.unique(np.r_[draws.center.ravel(), offsets.ravel()]).size == 4 * 28_000
    each = np.c_[draws.center, offsets, draws.color, draws.ops, draws.signs].T.astype(float)
    for lag in (1, 2):
        shared = np.corrcoef(each[:, lag:], each[:, :-lag])[: len(each), len(each) :]
        assert np.abs(shared).max() < 0.03


@pytest.mark.parametrize("position", range(20))
def test_cutout_fills_one_rectangle_of_one_colour(position):
    image = np.full((32, 40, 3), 44, np.uint8)
    before = image.copy()
    augmentation = Augmentation(0, 0.5, 0, 9)
    draws = draw(augmentation, 0, position, 1)
    augment(image, augmentation, draws, 0)
    rows, columns = np.nonzero((image != before).any(2))
    assert len(rows), "the square's center lies in the image"
    height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
    assert len(rows) == height * width
    assert 8 <= height <= 16
    assert 10 <= width <= 20
    assert (image[rows, columns] == draws.color[0]).all()
    assert cutout_box(draws.center[0], 0.5, 32, 40) == (
        rows.min(),
        rows.max() + 1,
        columns.min(),
        columns.max() + 1,
    )


def test_an_image_is_mirrored_before_anything_else_with_the_probability_asked_for():
    images = [np.asarray(picture(1, number)) for number in range(200)]
    plain, always = Augmentation(0, 0.5, 2, 9), Augmentation(0, 0.5, 2, 9, flip=1.0)
    draws = draw(always, 0, 0, len(images))
    assert draws.flips.all()
    assert not draw(plain, 0, 0, len(images)).flips.any()
    for row, image in enumerate(images[:20]):
        mirrored, flipped = image[:, ::-1].copy(), image.copy()
        augment(mirrored, plain, draw(plain, 0, 0, len(images)), row)
        augment(flipped, always, draws, row)
        np.testing.assert_array_equal(flipped, mirrored)
    half = draw(Augmentation(0, 0.5, 2, 9, flip=0.3), 0, 0, 20_000)
    assert abs(half.flips.mean() - 0.3) < 0.01
    assert np.abs(np.corrcoef(half.flips, half.center[:, 0])[0, 1]) < 0.03

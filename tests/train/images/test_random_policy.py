"""The package randaugment's policy: its operations within one level of Pillow's, its draws as it draws them."""

from itertools import product

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from slow_random_ops import NAMES, slow_random_op
from small_dataset import picture
from test_image_ops import IMAGES

from in21k.train.images.augment_cpu import augment
from in21k.train.images.augment_draws import RANDOM, RANDOM_OPS, Augmentation, cutout_box, draw, random_strength
from in21k.train.images.augment_gpu import augment_batch
from in21k.train.images.random_ops_cpu import apply_random_op
from in21k.train.images.random_ops_gpu import apply_random_op as apply_to_batch

POLICY = Augmentation(1, 0.5, 2, 9, policy=RANDOM, inclusive=True, flip=0.5)
STRENGTHS = [*product(range(1, 10), (1, -1))]
EXACT = NAMES - {"Sharpness", "AutoContrast", "ShearX", "ShearY", "Contrast", "Color", "Brightness"}


def test_the_operations_are_those_of_the_package():
    assert RANDOM_OPS[0] == "Identity"
    assert set(RANDOM_OPS[1:]) == NAMES
    assert len(RANDOM_OPS) == 16


@pytest.mark.parametrize("image", IMAGES.values(), ids=IMAGES.keys())
@pytest.mark.parametrize("name", RANDOM_OPS[1:])
def test_each_operation_is_within_one_level_at_all_strengths(name, image):
    before = image.copy()
    height, width = image.shape[:2]
    batch = torch.from_numpy(image.copy()).permute(2, 0, 1)[None].expand(len(STRENGTHS), -1, -1, -1).contiguous()
    places = np.random.default_rng(7).random((len(STRENGTHS), 2))
    places[0], places[1] = (0, 0), (1 - 0.5 / height, 1 - 0.5 / width)  # corners
    values = np.array([random_strength(name, *each) for each in STRENGTHS])
    on_device = apply_to_batch(name, batch, values, places).permute(0, 2, 3, 1).numpy()
    for number, (magnitude, sign) in enumerate(STRENGTHS):
        slow = slow_random_op(name, image, magnitude, sign, places[number]).astype(int)
        ours = apply_random_op(name, image, values[number], places[number])
        assert ours.shape == image.shape
        assert ours.dtype == np.uint8
        assert np.abs(ours - slow).max() <= (0 if name in EXACT | {"AutoContrast"} else 1), (magnitude, sign)
        assert np.abs(on_device[number] - slow).max() <= (0 if name in EXACT else 1), (magnitude, sign)
    np.testing.assert_array_equal(image, before)


def test_an_image_of_full_range_is_left_as_it_is_where_the_package_leaves_it():
    """Otherwise fewer images stay unchanged than with the package."""
    image = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, 2)
    assert (slow_random_op("AutoContrast", image, 1, 1, (0, 0)) == image).all()
    assert (apply_random_op("AutoContrast", image, 0.0, (0, 0)) == image).all()
    batch = torch.from_numpy(image).permute(2, 0, 1)[None].contiguous()
    assert torch.equal(apply_to_batch("AutoContrast", batch, np.zeros(1), np.zeros((1, 2))), batch)


def test_each_operation_is_drawn_evenly_with_probability_one_half():
    count = 40_000
    draws = draw(POLICY, 0, 0, count)
    for at in (0, 1):
        done = draws.ops[:, at] > 0
        assert abs(done.mean() - 0.5) < 0.01
        share = np.bincount(draws.ops[done, at], minlength=16)[1:] / done.sum() * 15
        assert np.abs(share - 1).max() < 0.1
        strengths = np.bincount(draws.magnitudes[:, at], minlength=10)[1:] / count * 9
        assert np.abs(strengths - 1).max() < 0.06
        assert set(draws.magnitudes[:, at]) == set(range(1, 10))
        assert abs(draws.signs[:, at].mean()) < 0.02
        assert np.abs(draws.places[:, at].mean(0) - 0.5).max() < 0.01
    each = np.concatenate([values.reshape(count, -1) for values in (draws.center, *draws.of_ops)], 1).T
    assert np.abs(np.corrcoef(each.astype(float)) - np.eye(len(each))).max() < 0.03


def test_a_quarter_of_the_images_stays_as_it_is():
    """Both operations left out, or one that changes nothing: the package leaves about 26 % of photographs."""
    images = [np.asarray(picture(label, number)) for label in range(5) for number in range(80)]
    policy = Augmentation(0, 0.0, 2, 9, policy=RANDOM)
    draws, unchanged = draw(policy, 0, 0, len(images)), 0
    for row, image in enumerate(images):
        changed = image.copy()
        augment(changed, policy, draws, row)
        unchanged += (changed == image).all()
    assert 0.22 < unchanged / len(images) < 0.34


def test_draws_belong_to_positions_and_torchvisions_stay_as_they_were():
    whole, part = draw(POLICY, 5, 100, 50), draw(POLICY, 5, 120, 7)
    for name in ("center", "color", "ops", "signs", "magnitudes", "places"):
        np.testing.assert_array_equal(getattr(whole, name)[20:27], getattr(part, name))
    draws = draw(Augmentation(3, 0.5, 2, 9), 1, 7, 3)
    assert (draws.ops.tolist(), draws.signs.tolist()) == (OPS_BEFORE, SIGNS_BEFORE)
    assert set(draws.magnitudes.ravel()) == {9}


OPS_BEFORE, SIGNS_BEFORE = [[1, 12], [2, 4], [8, 11]], [[-1, 1], [-1, 1], [-1, -1]]
"""Of the version before there was another policy."""


def test_a_batch_on_the_device_looks_as_the_loaders_would():
    """A second operation may magnify a difference of one level."""
    images = np.stack([np.asarray(picture(at % 5, at)) for at in range(96)])
    batch = torch.from_numpy(images.copy()).permute(0, 3, 1, 2)
    result = augment_batch(batch, POLICY, 3, 1000)
    assert result.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(batch.permute(0, 2, 3, 1), torch.from_numpy(images))
    draws = draw(POLICY, 3, 1000, len(images))
    for row, image in enumerate(images):
        augment(image, POLICY, draws, row)
    gap = np.abs(result.permute(0, 2, 3, 1).numpy().astype(int) - images.astype(int))
    assert gap.mean() < 0.2
    assert (gap > 2).mean() < 0.01


@pytest.mark.parametrize("place", [(0.0, 0.0), (0.5, 0.5), (0.3, 0.9), (0.999, 0.999)])
def test_an_inclusive_square_is_the_one_that_pillow_draws(place):
    """113 pixels of 224, with the center's pixel in its middle."""
    side, half = 224, 56
    y, x = (int(share * side) for share in place)
    image = Image.new("RGB", (side, side))
    corners = [min(max(value, 0), side) for value in (x - half, y - half, x + half, y + half)]
    ImageDraw.Draw(image).rectangle(corners, fill=(1, 2, 3))
    rows, columns = np.nonzero(np.asarray(image)[..., 0])
    found = (rows.min(), rows.max() + 1, columns.min(), columns.max() + 1)
    assert cutout_box(np.array(place), 0.5, side, side, inclusive=True) == found
    if place == (0.5, 0.5):
        assert found[1] - found[0] == 113

"""Random erasing: timm's boxes, random levels in them, the same pixels on either device, and after all else."""

import numpy as np
import pytest
import torch
from scipy import stats
from small_dataset import picture
from timm.data.random_erasing import RandomErasing

from in21k.train.images.augment_cpu import augment
from in21k.train.images.augment_draws import RANDOM, Augmentation, draw
from in21k.train.images.augment_gpu import augment_batch
from in21k.train.images.erasing import draw_erasing

WORD = (1 << 64) - 1
ONLY = Augmentation(3, 0.0, 0, 9, erasing=0.6)
ALL = Augmentation(3, 0.5, 2, 9, policy=RANDOM, flip=0.5, erasing=0.6)
PLAIN = Augmentation(3, 0.5, 2, 9, policy=RANDOM, flip=0.5)


def slow_levels(key: int, pixel: int) -> list[int]:
    """SplitMix64 of a key and a pixel's number, in Python's integers."""
    bits = (key + pixel) * 0x9E3779B97F4A7C15 & WORD
    bits = (bits ^ bits >> 30) * 0xBF58476D1CE4E5B9 & WORD
    bits = (bits ^ bits >> 27) * 0x94D049BB133111EB & WORD
    bits ^= bits >> 31
    return [bits >> shift & 255 for shift in (40, 48, 56)]


def pictures(count: int, size: int = 32) -> np.ndarray:
    return np.stack([np.asarray(picture(at % 5, at, size)) for at in range(count)])


def on_cpu(images: np.ndarray, augmentation: Augmentation, epoch: int, start: int) -> np.ndarray:
    images, draws = images.copy(), draw(augmentation, epoch, start, len(images))
    for row, image in enumerate(images):
        augment(image, augmentation, draws, row)
    return images


def on_device(images: np.ndarray, augmentation: Augmentation, epoch: int, start: int) -> np.ndarray:
    batch = torch.from_numpy(images.copy()).permute(0, 3, 1, 2)
    return augment_batch(batch, augmentation, epoch, start).permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize("erase", [on_cpu, on_device])
def test_a_box_becomes_noise_and_nothing_else_changes(erase):
    images = pictures(200)  # more than are in memory at a time
    erased, draws = erase(images, ONLY, 2, 500), draw_erasing(0.6, 3, 2, 500, 200)
    boxes = draws.boxes(32, 32)
    assert 100 < (boxes[:, 1] > boxes[:, 0]).sum() == draws.happens.sum() < 140
    for row, (top, bottom, left, right) in enumerate(boxes.tolist()):
        expected = images[row].copy()
        for y in range(top, bottom):
            for x in range(left, right):
                expected[y, x] = slow_levels(int(draws.noise[row]), y * 32 + x)
        np.testing.assert_array_equal(erased[row], expected)


@pytest.mark.parametrize("erase", [on_cpu, on_device])
def test_it_comes_after_all_else(erase):
    images = pictures(96)
    with_it, without = erase(images, ALL, 1, 40), erase(images, PLAIN, 1, 40)
    noise = erase(np.zeros_like(images), ONLY, 1, 40)
    for row, (top, bottom, left, right) in enumerate(draw_erasing(0.6, 3, 1, 40, 96).boxes(32, 32).tolist()):
        without[row, top:bottom, left:right] = noise[row, top:bottom, left:right]
    np.testing.assert_array_equal(with_it, without)


def test_it_leaves_the_other_draws_as_they_are():
    with_it, without = draw(ALL, 4, 7, 30), draw(PLAIN, 4, 7, 30)
    assert without.erasing is None
    for name in ("flips", "center", "color", "ops", "signs", "magnitudes", "places"):
        np.testing.assert_array_equal(getattr(with_it, name), getattr(without, name))


def test_draws_belong_to_positions():
    whole, part = draw_erasing(0.5, 3, 5, 100, 50), draw_erasing(0.5, 3, 5, 120, 7)
    np.testing.assert_array_equal(whole.boxes(40, 24)[20:27], part.boxes(40, 24))
    np.testing.assert_array_equal(whole.noise[20:27], part.noise)


def test_boxes_are_distributed_as_timms():
    torch.manual_seed(0)
    ones, count, theirs = torch.ones(1, 64, 48), 2500, []
    erasing = RandomErasing(1.0, mode="const", device="cpu")
    for _ in range(count):
        rows, columns = (erasing(ones.clone())[0] == 0).nonzero().numpy().T
        theirs.append((rows.min(), rows.max() + 1, columns.min(), columns.max() + 1))
    ours = draw_erasing(1.0, 0, 0, 0, count).boxes(64, 48)
    figures = []
    for top, bottom, left, right in (ours.T, np.array(theirs).T):
        tall, wide = bottom - top, right - left
        figures.append((top, left, tall * wide, wide / tall))
    for one, other in zip(*figures, strict=True):
        assert stats.ks_2samp(one, other).pvalue > 1e-3


def test_levels_are_even_and_independent():
    erased = on_cpu(np.zeros((60, 64, 64, 3), np.uint8), Augmentation(0, 0.0, 0, 9, erasing=1.0), 0, 0)
    boxes = draw_erasing(1.0, 0, 0, 0, 60).boxes(64, 64)
    parts = [image[t:b, le:r].reshape(-1, 3) for image, (t, b, le, r) in zip(erased, boxes.tolist(), strict=True)]
    levels = np.concatenate(parts)
    assert stats.chisquare(np.bincount(levels.ravel(), minlength=256)).pvalue > 1e-3
    neighbors = np.c_[levels[:-1], levels[1:]].T.astype(float)
    assert np.abs(np.corrcoef(neighbors) - np.eye(6)).max() < 0.02
    shortest = min(map(len, parts))
    across = np.corrcoef(np.stack([part[:shortest].ravel() for part in parts]).astype(float))
    assert np.abs(across - np.eye(60)).max() < 5 / shortest**0.5

"""RandAugment on arrays and on batches: each operation within one level of Pillow's, at all strengths."""

import numpy as np
import pytest
import torch
from PIL import Image
from small_dataset import picture
from torchvision.transforms import InterpolationMode, RandAugment
from torchvision.transforms.autoaugment import _apply_op

from in21k.train.images import augment_gpu, ops_gpu
from in21k.train.images.augment_cpu import augment
from in21k.train.images.augment_draws import MAGNITUDES, OPS, Augmentation, draw, strength
from in21k.train.images.ops_cpu import apply_op


def photograph(height: int, width: int) -> np.ndarray:
    """Gradients, edges and noise: every level occurs, and no two channels are alike."""
    random = np.random.default_rng(height)
    y, x = np.mgrid[0:height, 0:width]
    planes = [x * 255 / width, y * 255 / height, (x + y) * 200 / (height + width) + 20 * (x // 7 % 2)]
    noisy = np.stack(planes, -1) + random.normal(0, 12, (height, width, 3))
    return np.clip(noisy, 0, 255).astype(np.uint8)


def dark(height: int, width: int) -> np.ndarray:
    return photograph(height, width) // 5 + 30


IMAGES = {
    "photograph": photograph(96, 96),
    "wide": photograph(41, 64),
    "dark": dark(64, 64),
    "flat": np.full((20, 20, 3), (3, 200, 77), np.uint8),
    "two-levels": (photograph(32, 32) > 128).astype(np.uint8) * 90 + 60,
    "jpeg": np.asarray(picture(3, 1)),
}
EXACT = {"Identity", "ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate", "Posterize", "Solarize", "Equalize"}


def torchvisions(height: int, width: int) -> dict[str, list[float]]:
    """All strengths of each operation, as torchvision's RandAugment has them."""
    space = RandAugment()._augmentation_space(MAGNITUDES, (height, width))
    return {
        name: [0.0] if values.ndim == 0 else [v * s for v in values.tolist() for s in ((1, -1) if signed else (1,))]
        for name, (values, signed) in space.items()
    }


def test_the_operations_are_torchvisions():
    assert set(torchvisions(224, 224)) == set(OPS)


@pytest.mark.parametrize("image", IMAGES.values(), ids=IMAGES.keys())
@pytest.mark.parametrize("name", OPS)
def test_each_operation_is_within_one_level_of_pillows(name, image):
    before = image.copy()
    for value in torchvisions(*image.shape[:2])[name]:
        pillows = np.asarray(_apply_op(Image.fromarray(image), name, value, InterpolationMode.NEAREST, None))
        ours = apply_op(name, image, value)
        assert ours.shape == image.shape
        assert ours.dtype == np.uint8
        gap = np.abs(ours.astype(int) - pillows.astype(int)).max()
        assert gap <= (0 if name in EXACT else 1), (value, gap)
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("name", OPS)
def test_strengths_are_torchvisions(name):
    values = torchvisions(224, 160)[name]
    signs = (1, -1) if len(values) == 2 * MAGNITUDES else (1,)
    ours = [strength(name, magnitude, sign, 224, 160) for magnitude in range(MAGNITUDES) for sign in signs]
    if len(values) == 1:
        ours = ours[:1]
    expected = [float(int(value)) for value in values] if name.startswith("Translate") else values
    np.testing.assert_allclose(ours, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", OPS)
def test_the_devices_operations_are_within_one_level_too(name):
    images = [photograph(48, 48), dark(48, 48), IMAGES["two-levels"].repeat(2, 0).repeat(2, 1)[:48, :48]]
    batch = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()
    for value in torchvisions(48, 48)[name]:
        result = ops_gpu.apply_op(name, batch, value).permute(0, 2, 3, 1).numpy()
        expected = np.stack([apply_op(name, image, value) for image in images])
        assert np.abs(result.astype(int) - expected.astype(int)).max() <= 1, value


def test_a_batch_on_the_device_looks_as_the_loaders_would():
    """A second operation may magnify a difference of one level."""
    augmentation = Augmentation(1, 0.5, 2, 9)
    images = np.stack([photograph(48, 48) // (1 + at % 2) for at in range(64)])
    batch = torch.from_numpy(images.copy()).permute(0, 3, 1, 2)
    result = augment_gpu.augment_batch(batch, augmentation, 3, 1000)
    assert result.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(batch.permute(0, 2, 3, 1), torch.from_numpy(images))
    draws = draw(augmentation, 3, 1000, 64)
    for row, image in enumerate(images):
        augment(image, augmentation, draws, row)
    gap = np.abs(result.permute(0, 2, 3, 1).numpy().astype(int) - images.astype(int))
    assert gap.mean() < 0.2
    assert (gap > 2).mean() < 0.01

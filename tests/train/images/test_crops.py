"""Random crops: those of torchvision, cut out of the whole image, whatever holds it; and what resizes them."""

import io
from itertools import product

import numpy as np
import pytest
import torch
from dumps import encode, photo, rotated_jpeg
from PIL import Image, ImageOps
from scipy import stats
from torchvision.transforms import RandomResizedCrop

from in21k.shards_manifest.images.faults import ImageError
from in21k.train.images.crops import ResizedCrop, resized_crops
from in21k.train.images.decode import FILTERS, decode_into
from in21k.train.images.decode_wild import decode_wild

SIDE = 24
AREAS, RATIOS = (0.08, 1.0), (3 / 4, 4 / 3)


def slow_crop(image: Image.Image, crop: ResizedCrop, interpolation: str = "bicubic") -> np.ndarray:
    """torchvision's rules, one number at a time, on Pillow's image."""
    width, height = image.size
    for area, ratio, y, x in crop.tries:
        area = width * height * (crop.areas[0] * (1 - area) + crop.areas[1] * area)
        ratio = crop.ratios[0] ** (1 - ratio) * crop.ratios[1] ** ratio
        w, h = int(np.rint((area * ratio) ** 0.5)), int(np.rint((area / ratio) ** 0.5))
        if 1 <= w <= width and 1 <= h <= height:
            left, top = int((width - w + 1) * x), int((height - h + 1) * y)
            break
    else:
        h, w, top, left = fallback(height, width, crop)
    part = image.crop((left, top, left + w, top + h))
    return np.asarray(part.resize((SIDE, SIDE), getattr(Image.Resampling, interpolation.upper())))


def fallback(height: int, width: int, crop: ResizedCrop) -> tuple[int, int, int, int]:
    """torchvision's own answer where no try fits: areas beyond the image never do."""
    top, left, h, w = RandomResizedCrop.get_params(torch.empty(3, height, width), [2.0, 3.0], list(crop.ratios))
    return h, w, top, left


def decoded(decode, content, crop, **options) -> np.ndarray:
    row = np.zeros((SIDE, SIDE, 3), np.uint8)
    decode(content, row, crop, **options)
    return row


@pytest.mark.parametrize("interpolation", FILTERS)
@pytest.mark.parametrize("size", [(64, 64), (SIDE, SIDE), (90, 40), (31, 200)], ids=str)
@pytest.mark.parametrize("decode", [decode_into, decode_wild])
def test_a_crop_is_pillows_crop_resized(decode, size, interpolation):
    content = encode(photo(3, size), "JPEG", quality=92)
    image = Image.open(io.BytesIO(content))
    for crop in resized_crops(AREAS, RATIOS, 1, 2, 30, 40):
        expected = slow_crop(image, crop, interpolation)
        np.testing.assert_array_equal(decoded(decode, content, crop, interpolation=interpolation), expected)
        np.testing.assert_array_equal(decoded(decode, np.asarray(image), crop, interpolation=interpolation), expected)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_found_image_is_turned_before_it_is_cropped(orientation):
    content = rotated_jpeg(orientation)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(content)))
    for crop in resized_crops(AREAS, RATIOS, 0, 0, 0, 10):
        np.testing.assert_array_equal(decoded(decode_wild, content, crop), slow_crop(upright, crop))


@pytest.mark.parametrize("size", [(400, 20), (20, 400), (64, 64), (1, 3), (3, 1), (1, 1)], ids=str)
def test_where_no_try_fits_it_is_torchvisions_center(size):
    width, height = size
    crop = ResizedCrop(np.ones((10, 4)), (2.0, 3.0), RATIOS)
    top, bottom, left, right = crop.box(height, width)
    assert (bottom - top, right - left, top, left) == fallback(height, width, crop)


@pytest.mark.parametrize("areas", [(0.08, 1.0), (0.5, 0.9)])
@pytest.mark.parametrize("size", [(224, 224), (500, 375)])
def test_boxes_are_distributed_as_torchvisions(size, areas):
    count, (width, height) = 3000, size
    torch.manual_seed(0)
    image = torch.empty(3, height, width)
    theirs = np.array([RandomResizedCrop.get_params(image, list(areas), list(RATIOS)) for _ in range(count)])
    boxes = np.array([crop.box(height, width) for crop in resized_crops(areas, RATIOS, 0, 0, 0, count)])
    ours = np.c_[boxes[:, 0], boxes[:, 2], boxes[:, 1] - boxes[:, 0], boxes[:, 3] - boxes[:, 2]]
    for ours_at, theirs_at in (
        *zip(ours.T, theirs.T, strict=True),
        (ours[:, 2] * ours[:, 3], theirs[:, 2] * theirs[:, 3]),
    ):
        assert stats.ks_2samp(ours_at, theirs_at).pvalue > 1e-3


def test_where_every_box_fits_area_and_logarithm_of_the_ratio_are_uniform():
    areas, side = (0.1, 0.5), 4000
    boxes = np.array([crop.box(side, side) for crop in resized_crops(areas, RATIOS, 7, 1, 0, 5000)])
    tall, wide = boxes[:, 1] - boxes[:, 0], boxes[:, 3] - boxes[:, 2]
    assert stats.kstest(tall * wide / side**2, stats.uniform(0.1, 0.4).cdf).pvalue > 1e-3
    low, high = np.log(RATIOS)
    assert stats.kstest(np.log(wide / tall), stats.uniform(low, high - low).cdf).pvalue > 1e-3
    room = np.c_[boxes[:, 0] / (side - tall), boxes[:, 2] / (side - wide)]
    each = np.c_[tall * wide, wide / tall, room].T
    assert all(stats.kstest(at, "uniform").pvalue > 1e-3 for at in room.T)
    assert np.abs(np.corrcoef(each) - np.eye(4)).max() < 0.05
    assert np.abs(np.corrcoef(each[:, 1:], each[:, :-1])[:4, 4:]).max() < 0.05


def test_a_crop_belongs_to_its_position():
    whole, part = resized_crops(AREAS, RATIOS, 3, 5, 100, 50), resized_crops(AREAS, RATIOS, 3, 5, 120, 7)
    for one, other in zip(whole[20:27], part, strict=True):
        np.testing.assert_array_equal(one.tries, other.tries)
    for seed, epoch in product((3, 4), (5, 6)):
        same = resized_crops(AREAS, RATIOS, seed, epoch, 120, 1)[0].box(64, 64) == part[0].box(64, 64)
        assert same is ((seed, epoch) == (3, 5))


def test_an_image_too_narrow_to_resize_is_refused_with_a_crop_too():
    narrow = encode(photo(1, (8, 8)).resize((1, 60_000)), "PNG")
    whole = ResizedCrop(np.zeros((10, 4)), (1.0, 1.0), (1e-5, 1e5))
    row = np.empty((4096, 4096, 3), np.uint8)
    with pytest.raises(ImageError, match="1 × 60000 pixels, 4096 × 4096 resized: more than 512 MiB"):
        decode_into(narrow, row, whole)

"""Images that ask for much memory or time: refused by their headers, and what is read takes what was counted."""

import sys
from subprocess import run

import numpy as np
import pytest
from dumps import encode, jpeg, jpeg_of_size, photo, png_of_size, rotated_jpeg
from hostile_images import jpeg_of_scans
from image_files import webp_file
from PIL import Image

from in21k.shards_manifest.images.decode import decode_strictly, examine, read_pixels
from in21k.shards_manifest.images.faults import ImageError
from in21k.shards_manifest.images.limits import Limits, prepared_limits
from in21k.shards_manifest.images.reference import decode_as_opencv
from in21k.shards_manifest.images.scans import MAX_SCANS, scans_of

LIMITS = Limits(pixels=1 << 28)
BIG = (2500, 2000)


def strictly(data, limits):
    return decode_strictly(data, limits, np.empty((8, 8, 3), np.uint8))


READERS = [read_pixels, strictly, examine, decode_as_opencv]


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("is_progressive", [True, False])
def test_a_jpeg_of_thousands_of_scans_is_refused_undecoded(read, is_progressive):
    data = jpeg_of_scans(3000, BIG, progressive=is_progressive)
    with pytest.raises(ImageError, match="too-many-scans: 2500 × 2000 pixels in more than 100 scans"):
        read(data, LIMITS)


@pytest.mark.parametrize("read", [read_pixels, decode_as_opencv])
def test_as_many_scans_as_are_allowed_are_read(read):
    read(jpeg_of_scans(MAX_SCANS, BIG), LIMITS)


@pytest.mark.parametrize(
    ("data", "number", "samples"),
    [
        (jpeg(1), 1, 0),
        (encode(photo(1).convert("L")), 1, 0),
        (jpeg(1, progressive=True), 10, 1.5),
        (jpeg(1, progressive=True, subsampling="4:4:4"), 10, 3),
        (jpeg(1, progressive=True) + jpeg(1, progressive=True), 10, 1.5),
        (jpeg_of_scans(20), 20, 1.5),
        (jpeg_of_scans(20, progressive=False), 20, 3),
        (jpeg(1, progressive=True)[:100], 0, 4),
        (b"\xff\xd8\xff", 0, 4),
    ],
)
def test_scans_are_counted_by_their_markers(data, number, samples):
    scans = scans_of(memoryview(data))
    assert (scans.number, scans.samples_per_pixel) == (number, samples)


def test_a_comment_that_looks_like_scans_is_none():
    data = jpeg_of_scans(10, BIG)
    comment = b"\xff\xda" * 300
    commented = data[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + data[2:]
    assert scans_of(commented).number == 10
    read_pixels(commented, LIMITS)


CHILD = """
import re, sys
from pathlib import Path
from in21k.shards_manifest.images.decode import read_pixels
from in21k.shards_manifest.images.limits import Limits
read_pixels(open(sys.argv[1], "rb").read(), Limits(pixels=1 << 20))
peak = lambda: int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
before = peak()
read_pixels(open(sys.argv[2], "rb").read(), Limits(pixels=1 << 28, memory=int(sys.argv[3])))
print(peak() - before)
"""
"""Reads a small image and then a large one, and prints the KiB that it grew by."""


@pytest.mark.parametrize(
    ("make", "per_pixel"),
    [
        (lambda image: encode(image, "PNG"), 8),
        (lambda image: encode(Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) << 8), "PNG"), 8),
        (lambda image: encode(image.convert("RGBA"), "PNG"), 8),
        (lambda image: encode(image.convert("CMYK")), 8),
        (lambda image: encode(image, progressive=True), 8),
        (lambda image: webp_file(image, 101), 10),
    ],
)
def test_an_image_takes_the_memory_that_was_counted(tmp_path, make, per_pixel):
    (tmp_path / "small").write_bytes(make(photo(1)))
    (tmp_path / "large").write_bytes(make(photo(1, (64, 48)).resize(BIG)))
    memory = BIG[0] * BIG[1] * per_pixel
    command = [sys.executable, "-c", CHILD, tmp_path / "small", tmp_path / "large", str(memory)]
    child = run(command, capture_output=True, text=True, check=True)
    assert 0 < int(child.stdout) << 10 < memory * 1.1 + (10 << 20)


def test_an_image_that_must_be_turned_needs_room_for_both():
    data = rotated_jpeg(6)
    assert read_pixels(data, Limits(pixels=1200, memory=1200 * 8)).shape == (40, 30, 3)
    with pytest.raises(ImageError, match="too-many-pixels: 40 × 30 pixels of 8 bytes"):
        read_pixels(data, Limits(pixels=1200, memory=1200 * 8 - 1))


def test_large_images_are_converted_as_small_ones_are(monkeypatch):
    samples = np.random.default_rng(0).integers(0, 1 << 16, (90, 70), np.uint16)
    files = [encode(Image.fromarray(samples), "PNG"), encode(photo(1, (70, 90)), "PNG"), jpeg(1, (70, 90))]
    at_once = [read_pixels(data, LIMITS) for data in files]
    monkeypatch.setattr("in21k.shards_manifest.images.pillow._AT_ONCE", 1000)
    for data, wanted in zip(files, at_once, strict=True):
        assert (read_pixels(data, LIMITS) == wanted).all()
    assert (at_once[0] == (samples >> 8)[..., None]).all()


@pytest.mark.parametrize(
    ("size", "is_square", "fits", "too_large"),
    [
        (224, True, (4096, 4096), (65_500, 65_500)),
        (224, False, (65_500, 224), (65_500, 300)),
        (None, True, (10_000, 10_000), (60_000, 60_000)),
    ],
)
def test_an_image_of_a_prepared_dataset_may_be_as_large_as_the_manifest_says(size, is_square, fits, too_large):
    limits = prepared_limits(size, is_square=is_square)
    limits.check(*fits, 3)
    for data in (jpeg_of_size(*too_large), png_of_size(*too_large)):
        with pytest.raises(ImageError, match="too-many-pixels"):
            examine(data, limits)

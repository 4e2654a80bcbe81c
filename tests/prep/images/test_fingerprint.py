"""Fingerprints: hardly changed in a copy, known for a mirrored one, and the same on any machine."""

import numpy as np
import pytest
import xxhash
from dumps import encode
from PIL import Image, ImageOps

from in21k.prep.demo.pictures import paint
from in21k.prep.images.fingerprint import MIRRORED, Fingerprint, Fingerprinter, Sketch, picture_hashes, sketch
from in21k.prep.images.parameters import ResizeParameters
from in21k.prep.images.resize_image import resize_image
from in21k.shards_manifest.manifest import ResizeMode

WIDTH, HEIGHT = 400, 300


def drawn(number: int) -> Image.Image:
    return Image.fromarray(paint((3, 1, 4), np.random.default_rng(number), WIDTH, HEIGHT))


def fingerprint(taken: Sketch) -> Fingerprint:
    maker = Fingerprinter()
    maker.add(taken)
    return maker.all()[0]


def hashes(picture: Image.Image) -> list[int]:
    found = fingerprint(sketch(b"", picture))
    return [found.phash, *np.frombuffer(found.crop_phashes, ">u8").tolist()]


def bits(one: int, other: int) -> int:
    return (one ^ other).bit_count()


@pytest.mark.parametrize("number", range(4))
def test_copies_keep_their_hash(number):
    picture = drawn(number)
    encoded = fingerprint(resize_image(encode(picture, quality=60), ResizeParameters()).sketch)
    assert bits(encoded.phash, hashes(picture)[0]) <= 4
    assert bits(hashes(picture.resize((WIDTH // 2, HEIGHT // 2)))[0], hashes(picture)[0]) <= 4
    assert min(bits(encoded.phash, hashes(drawn(other))[0]) for other in range(4, 20)) > 8


@pytest.mark.parametrize(("left", "top", "window"), [(10, 7, 1), (0, 0, 2), (20, 0, 3), (0, 15, 4), (20, 15, 5)])
def test_a_crop_has_the_hash_of_its_window(left, top, window):
    cropped = drawn(1).crop((left, top, left + WIDTH - 20, top + HEIGHT - 15))
    assert bits(hashes(cropped)[0], hashes(drawn(1))[window]) <= 4


def test_a_mirrored_picture_differs_in_known_bits():
    picture = drawn(2).resize((224, 224))
    whole, middle, *corners = hashes(picture)
    mirrored = hashes(ImageOps.mirror(picture))
    assert [each ^ MIRRORED for each in mirrored] == [whole, middle, corners[1], corners[0], corners[3], corners[2]]


@pytest.mark.parametrize("color", ["black", "white", "gray"])
def test_a_picture_of_a_single_color_has_the_hash_zero(color):
    assert hashes(Image.new("RGB", (50, 40), color)) == [0] * 6


def test_the_digest_is_that_of_the_file():
    data = encode(drawn(3))
    assert sketch(data, drawn(3)).file_digest == xxhash.xxh3_64_intdigest(data)


@pytest.mark.parametrize("mode", ResizeMode)
@pytest.mark.parametrize("size", [64, 100, 299])
def test_the_fingerprint_is_that_of_the_whole_image_however_it_is_resized(mode, size):
    data = encode(drawn(4), quality=95)
    found = fingerprint(resize_image(data, ResizeParameters(size, mode=mode)).sketch)
    assert bits(found.phash, hashes(drawn(4))[0]) <= 4


def test_the_authors_pixels_have_the_same_fingerprint():
    data = encode(drawn(5), quality=95)
    for size in (100, 500):  # resized, and copied
        found = fingerprint(resize_image(data, ResizeParameters(size, compat="reference")).sketch)
        assert bits(found.phash, hashes(drawn(5))[0]) <= 4


def test_hashes_are_the_same_on_any_machine():
    """A known answer: all sums are of integers below 2^53, so that no order of them and no processor matters."""
    pixels = (np.add.outer(np.arange(32) ** 2 * 7, np.arange(32) ** 3 * 5) % 251).astype(np.uint8)
    assert picture_hashes(pixels[None])[0].hex() == (
        "4c148940fb4f0014cc1c8944fb7880144c0c8960eeef8000cc04c164ffbc80944c9c8940db780800ccb4c945fb718016"
    )


def test_many_are_hashed_as_one_is():
    pictures = [drawn(number) for number in range(3)] * 50
    maker = Fingerprinter()
    for number, picture in enumerate(pictures):
        maker.add(sketch(b"%d" % number, picture))
    expected = [fingerprint(sketch(b"%d" % number, picture)) for number, picture in enumerate(pictures)]
    assert maker.all() == expected

"""Images into rows of a batch: strictly as prepared, tolerantly as found."""

import io

import cv2
import numpy as np
import pytest
from dumps import encode, jpeg, photo, png_of_size, rotated_jpeg, sixteen_bit
from image_files import FILES, FOREIGN, PICTURE, damaged_in_the_middle, webp_of_size
from PIL import Image, ImageOps

from in21k.shards_manifest.images.faults import ImageError
from in21k.train.images.crops import CENTER, SquareCrop
from in21k.train.images.decode import decode_into
from in21k.train.images.decode_wild import decode_wild, read_pixels

BOTH = (decode_into, decode_wild)


def row_of(image: Image.Image, side: int = 24) -> np.ndarray:
    return np.asarray(image.convert("RGB").resize((side, side), Image.Resampling.BICUBIC))


def decoded(decode, content, side: int = 24, crop=None, **options) -> np.ndarray:
    row = np.zeros((side, side, 3), np.uint8)
    decode(content, row, crop, **options)
    return row


def refuses(decode, content, side: int = 24, **options) -> bool:
    try:
        decode(content, np.empty((side, side, 3), np.uint8), **options)
    except ImageError:
        return True
    return False


@pytest.mark.parametrize("decode", BOTH)
@pytest.mark.parametrize("name", ["png", "bmp", "tiff", "ppm"])
def test_an_image_is_squished_into_its_row(decode, name):
    assert (decoded(decode, memoryview(FILES[name]())) == row_of(PICTURE)).all()
    assert (decoded(decode, np.asarray(PICTURE)) == row_of(PICTURE)).all()


@pytest.mark.parametrize("decode", BOTH)
@pytest.mark.parametrize("eighths", range(1, 8))
def test_libjpeg_scales_by_eighths_where_asked_to(decode, eighths):
    image, side = photo(3, (64, 64)).resize((128, 128)), 16 * eighths
    content = encode(image, "JPEG", quality=95)
    resized, scaled = decoded(decode, content, side), decoded(decode, content, side, downscale="libjpeg")
    assert (resized == row_of(Image.open(io.BytesIO(content)), side)).all()
    assert 0 < np.abs(scaled.astype(int) - resized).mean() < 4
    if eighths in (1, 2, 4):  # Pillow's draft mode has these alone
        draft = Image.open(io.BytesIO(content))
        draft.draft("RGB", (side, side))
        assert (scaled == np.asarray(draft)).all()


@pytest.mark.parametrize("decode", BOTH)
def test_what_libjpeg_cannot_scale_is_resized(decode):
    square = encode(photo(3, (64, 64)), "JPEG")
    for content, side in ((square, 50), (square, 64), (square, 80), (encode(photo(3, (64, 64)), "PNG"), 32)):
        assert (decoded(decode, content, side, downscale="libjpeg") == decoded(decode, content, side)).all()


@pytest.mark.parametrize("decode", BOTH)
def test_a_scaled_image_is_cropped_or_squished_afterwards(decode):
    content = encode(photo(3, (128, 64)), "JPEG", quality=95)
    for crop in (CENTER, SquareCrop(0.0, 0.0), None):
        whole, half = decoded(decode, content, 64, crop), decoded(decode, content, 32, crop, downscale="libjpeg")
        assert np.abs(row_of(Image.fromarray(whole), 32).astype(int) - half).mean() < 6


@pytest.mark.parametrize("decode", BOTH)
@pytest.mark.parametrize("eighths", range(1, 9))
def test_linear_takes_a_whole_image_between_half_and_all_of_its_size(decode, eighths):
    content, side = encode(photo(3, (128, 128)), "JPEG", quality=95), 16 * eighths
    found = decoded(decode, content, side, downscale="linear")
    if eighths <= 4:
        assert (found == decoded(decode, content, side, downscale="libjpeg")).all()
    else:
        whole = np.asarray(Image.open(io.BytesIO(content)))
        assert (found == cv2.resize(whole, (side, side), interpolation=cv2.INTER_LINEAR)).all()


@pytest.mark.parametrize("decode", BOTH)
@pytest.mark.parametrize("size", [(128, 128), (100, 49), (48, 80)])
def test_linear_resizes_what_grows_or_shrinks_to_less_than_half(decode, size):
    """One of 100 × 49 would otherwise lose pixels along its width."""
    for kind in ("PNG", "JPEG"):
        content = encode(photo(3, size), kind)
        assert (decoded(decode, content, 49, downscale="linear") == decoded(decode, content, 49)).all()


@pytest.mark.parametrize("decode", BOTH)
def test_linear_takes_the_cropped_box_of_any_format(decode):
    content = encode(photo(3, (90, 60)), "PNG")
    square = decoded(decode, content, 60, CENTER)
    expected = cv2.resize(square, (40, 40), interpolation=cv2.INTER_LINEAR)
    assert (decoded(decode, content, 40, CENTER, downscale="linear") == expected).all()


def test_a_damaged_image_is_refused_at_any_scale():
    assert refuses(decode_into, damaged_in_the_middle(), downscale="libjpeg")
    cut = encode(photo(3, (64, 64)), "JPEG")[:-200]
    assert refuses(decode_into, cut, 32, downscale="libjpeg")


@pytest.mark.parametrize("decode", BOTH)
def test_the_center_is_cropped_where_asked_to(decode):
    content = encode(photo(3, (60, 24)), "PNG")
    assert (decoded(decode, content, crop=CENTER) == np.asarray(photo(3, (60, 24)))[:, 18:42]).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_found_images_are_upright(orientation):
    upright = ImageOps.exif_transpose(photo(2, (24, 24)).convert("RGB"))
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encode(upright, "PNG", exif=exif)
    turned = ImageOps.exif_transpose(Image.open(io.BytesIO(content)))
    assert (decoded(decode_wild, content) == np.asarray(turned)).all()
    row = decoded(decode_wild, rotated_jpeg(orientation))
    assert (row == row_of(Image.fromarray(read_pixels(rotated_jpeg(orientation))))).all()


def test_all_orientations_look_different():
    assert len({decoded(decode_wild, rotated_jpeg(orientation)).tobytes() for orientation in range(1, 9)}) == 8


def test_only_found_images_may_be_damaged_a_little():
    content = damaged_in_the_middle()
    assert decoded(decode_wild, content).any()
    assert refuses(decode_into, content)


@pytest.mark.parametrize("decode", BOTH)
def test_sixteen_bits_are_scaled(decode):
    content = encode(Image.fromarray(sixteen_bit(4, (24, 24))), "PNG")
    assert (decoded(decode, content) == (sixteen_bit(4, (24, 24)) >> 8)[..., None]).all()


@pytest.mark.parametrize("decode", BOTH)
@pytest.mark.parametrize(
    "content",
    [b"", b"no image", jpeg(1)[:200], png_of_size(9000, 9000), webp_of_size(16_383, 16_383, "VP8L"), *FOREIGN.values()],
)
def test_what_does_not_decode_is_refused(decode, content):
    assert refuses(decode, content)


@pytest.mark.parametrize("content", [b"RIFF1234WEBPxx", *FOREIGN.values()])
def test_what_is_not_an_image_is_named(content):
    with pytest.raises(ImageError, match="not-an-image"):
        read_pixels(content)


def test_an_image_of_too_many_pixels_is_refused_by_its_header():
    with pytest.raises(ImageError, match="9000 × 9000 pixels; images of up to 64 million pixels are read"):
        read_pixels(png_of_size(9000, 9000))

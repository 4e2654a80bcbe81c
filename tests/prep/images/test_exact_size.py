"""An image that already has the size: only a color JPEG is kept byte for byte."""

import io

import pytest
from dumps import ORIENTATION, encode, jpeg, photo, ycck_jpeg
from PIL import Image

from in21k.prep.images.parameters import ResizeParameters
from in21k.prep.images.resize_image import resize_image
from in21k.shards_manifest.manifest import ImageFormat

SIZE = (16, 16)


def rotated() -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    return jpeg(1, SIZE, exif=exif)


ODD = {
    "gray JPEG": encode(photo(1, SIZE).convert("L")),
    "CMYK JPEG": encode(photo(1, SIZE).convert("CMYK")),
    "YCCK JPEG": ycck_jpeg(photo(1, SIZE).convert("CMYK")),
    "rotated JPEG": rotated(),
    "PNG": encode(photo(1, SIZE), "PNG"),
    "gray PNG": encode(photo(1, SIZE).convert("L"), "PNG"),
    "palette PNG": encode(photo(1, SIZE).quantize(16), "PNG", transparency=3),
    "GIF": encode(photo(1, SIZE).quantize(16), "GIF"),
    "BMP": encode(photo(1, SIZE), "BMP"),
    "TIFF": encode(photo(1, SIZE), "TIFF"),
}


@pytest.mark.parametrize("data", ODD.values(), ids=ODD)
def test_an_odd_image_of_the_size_is_written_anew(data):
    written = resize_image(data, ResizeParameters(size=SIZE[0])).data
    assert written != data
    image = Image.open(io.BytesIO(written))
    assert (image.format, image.mode, image.size, dict(image.getexif())) == ("JPEG", "RGB", SIZE, {})


def test_a_color_jpeg_of_the_size_is_kept_byte_for_byte():
    data = jpeg(1, SIZE)
    assert resize_image(data, ResizeParameters(size=SIZE[0])).data == data
    assert resize_image(data, ResizeParameters(size=SIZE[0], format=ImageFormat.WEBP)).data != data

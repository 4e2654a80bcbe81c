import io
import struct

import numpy as np
import pytest
from dumps import (
    HTML,
    TRUNCATED,
    encode,
    jpeg,
    jpeg_of_size,
    odd_images,
    photo,
    png_of_size,
    rotated_jpeg,
    sixteen_bit,
    ycck_jpeg,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from in21k.prep.errors import PrepError
from in21k.prep.images.parameters import Filter, ResizeParameters
from in21k.prep.images.resize_image import resize_image
from in21k.shards_manifest.images.faults import ImageError

SIDE = 24
PARAMETERS = ResizeParameters(SIDE)


def resized(data: bytes, parameters=PARAMETERS) -> bytes:
    return resize_image(data, parameters).data


def expected(image: Image.Image, parameters=PARAMETERS) -> bytes:
    """Return what Pillow alone makes of a decoded image."""
    size = (parameters.size, parameters.size)
    small = image.convert("RGB").resize(size, Image.Resampling[parameters.filter.name])
    return encode(small, quality=parameters.quality, subsampling="4:2:0")


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(opened(data).convert("RGB")).astype(int)


def refusal(data: bytes, parameters=PARAMETERS) -> tuple[str, str]:
    with pytest.raises(ImageError) as refused:
        resized(data, parameters)
    return refused.value.fault.value, refused.value.detail


@pytest.mark.parametrize(
    "options", [{}, {"progressive": True}, {"subsampling": "4:4:4"}, {"subsampling": "4:2:2"}, {"quality": 5}]
)
@pytest.mark.parametrize("size", [(40, 30), (500, 375), (64, 1), (1, 1), (7, 9)])
def test_plain_jpegs_equal_pillow_byte_for_byte(size, options):
    data = jpeg(1, size, **options)
    assert resized(data) == expected(opened(data))


@pytest.mark.parametrize("parameters", [ResizeParameters(17, 60, each) for each in Filter])
def test_size_quality_and_filter_are_those_asked_for(parameters):
    data = jpeg(2, (90, 70))
    assert resized(data, parameters) == expected(opened(data), parameters)
    assert opened(resized(data, parameters)).size == (17, 17)


def test_an_image_of_more_bytes_than_the_encoders_buffer_equals_pillows():
    data, parameters = encode(photo(2, (90, 70)), quality=100), ResizeParameters(900, 100)
    assert len(resized(data, parameters)) > 1 << 17
    assert resized(data, parameters) == expected(opened(data), parameters)


def test_a_comment_goes_where_pillow_lets_it_go():
    data = odd_images()["cmyk"]
    commented = data[:2] + b"\xff\xfe\x00\x07hello" + data[2:]
    assert resized(commented) == expected(opened(commented))


def test_quality_and_filter_change_the_bytes():
    data = jpeg(2, (90, 70))
    assert len({resized(data, ResizeParameters(17, quality, each)) for each in Filter for quality in (50, 95)}) == 6


@pytest.mark.parametrize("kind", odd_images())
def test_every_odd_image_becomes_an_rgb_jpeg_of_the_size(kind):
    image = opened(resized(odd_images()[kind]))
    assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (SIDE, SIDE))


@pytest.mark.parametrize("kind", ["gray", "cmyk", "ycck", "png", "transparent", "gif", "one-pixel", "progressive"])
def test_odd_images_equal_pillows_reading_of_them(kind):
    data = odd_images()[kind]
    assert resized(data) == expected(opened(data))


def test_the_ycck_jpeg_is_one_and_comes_out_in_its_colors():
    original = photo(11, (64, 48)).convert("CMYK")
    data = ycck_jpeg(original)
    marker = data.index(b"\xff\xee\x00\x0eAdobe")
    assert (opened(data).mode, data[marker + 15]) == ("CMYK", 2)
    difference = np.abs(pixels(resized(data)) - pixels(expected(original)))
    assert difference.mean() < 4


def test_gray_stays_gray():
    channels = pixels(resized(encode(photo(3).convert("L"))))
    assert np.abs(channels - channels.mean(axis=2, keepdims=True)).max() <= 1


def test_the_first_frame_of_an_animation_is_taken():
    frames = [Image.new("RGB", (20, 20), color).quantize() for color in ("red", "blue")]
    data = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert opened(data).n_frames == 2
    assert np.abs(pixels(resized(data)) - (255, 0, 0)).max() < 8


def test_sixteen_bit_gray_is_scaled_and_not_clipped():
    samples = sixteen_bit(4)
    data = encode(Image.fromarray(samples), "PNG")
    assert opened(data).mode.startswith("I")
    assert resized(data) == expected(Image.fromarray((samples >> 8).astype(np.uint8)))


def test_transparency_is_dropped_and_not_composed():
    image = photo(5)
    image.putalpha(0)
    assert resized(encode(image, "PNG")) == expected(photo(5))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientations_are_applied_before_the_resize(orientation):
    data = rotated_jpeg(orientation)
    upright = ImageOps.exif_transpose(opened(data))
    assert resized(data) == expected(upright)
    assert "exif" not in opened(resized(data)).info


def test_all_orientations_look_different():
    assert len({resized(rotated_jpeg(orientation)) for orientation in range(1, 9)}) == 8


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_means_nothing_leaves_the_image_as_it_is(orientation):
    assert resized(rotated_jpeg(orientation)) == resized(jpeg(0))


def test_damaged_exif_leaves_the_image_as_it_is():
    data = rotated_jpeg(6)
    at = data.index(b"Exif\0\0") + 6
    assert resized(data[:at] + b"XX" + data[at + 2 :]) == resized(jpeg(0))


def test_small_images_are_enlarged():
    data = jpeg(6, (5, 4))
    assert resized(data) == expected(opened(data))


@pytest.mark.parametrize("size", [(40, 30), (64, 64), (333, 500)])
def test_a_jpeg_that_lacks_only_its_end_mark_is_kept(size):
    data = jpeg(7, size)
    assert data.endswith(b"\xff\xd9")
    assert resized(data[:-2]) == resized(data)


def test_bytes_after_the_end_mark_do_no_harm():
    data = jpeg(8)
    assert resized(data + b"trailing garbage") == resized(data)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9, 0.97])
def test_a_jpeg_cut_short_is_refused(share):
    data = jpeg(9, (200, 200))
    assert refusal(data[: int(len(data) * share)])[0] == "truncated"


def test_a_png_cut_short_is_refused():
    data = encode(photo(9, (200, 200)), "PNG")
    assert refusal(data[: len(data) // 2])[0] in ("truncated", "damaged")


def test_what_is_no_image_is_refused_with_its_beginning():
    reason, detail = refusal(HTML)
    assert reason == "not-an-image"
    assert "<!DOCTYPE html>" in detail
    assert refusal(b"\0" * 3000)[0] == "not-an-image"


def test_an_empty_file_is_refused():
    assert refusal(b"")[0] == "empty"


@pytest.mark.parametrize(
    "data", [png_of_size(12_000, 12_000), jpeg_of_size(12_000, 12_000), jpeg_of_size(65_500, 2_000)]
)
def test_an_image_of_too_many_pixels_is_refused_before_it_is_decoded(data):
    import resource

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    reason, detail = refusal(data)
    assert reason == "too-many-pixels"
    assert detail.endswith("pixels")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50 << 10  # KiB


def test_the_pixel_limit_is_exact():
    assert resized(jpeg(0, (20, 10)), ResizeParameters(8, max_pixels=200))
    assert refusal(jpeg(0, (20, 10)), ResizeParameters(8, max_pixels=199)) == ("too-many-pixels", "20 × 10 pixels")
    assert refusal(encode(photo(0, (20, 10)), "PNG"), ResizeParameters(8, max_pixels=199))[0] == "too-many-pixels"


def test_postscript_is_refused_unread():
    assert refusal(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n")[0] == "not-an-image"


def test_a_broken_png_is_refused_as_damaged():
    data = bytearray(encode(photo(9), "PNG"))
    data[60:64] = b"\0\0\0\0"
    assert refusal(bytes(data))[0] in ("damaged", "truncated")


@settings(max_examples=60)
@given(st.sampled_from([jpeg(1, (30, 30)), *odd_images().values()]), st.data())
def test_hostile_bytes_give_an_image_or_a_reason_and_nothing_else(data, draw):
    damaged = bytearray(data)
    for _ in range(draw.draw(st.integers(1, 6))):
        damaged[draw.draw(st.integers(0, len(data) - 1))] = draw.draw(st.integers(0, 255))
    try:
        result = resized(bytes(damaged[: draw.draw(st.integers(1, len(data)))]))
    except ImageError:
        return
    assert opened(result).size == (SIDE, SIDE)


def test_images_do_not_show_through_from_the_one_before():
    large, small = jpeg(1, (300, 300)), jpeg(2, (20, 20))
    alone = resized(small)
    resized(large)
    with pytest.raises(ImageError):
        resized(TRUNCATED)
    assert resized(small) == alone


@pytest.mark.parametrize(("size", "quality"), [(7, 95), (4097, 95), (64, 0), (64, 101)])
def test_sizes_and_qualities_out_of_range_are_refused(size, quality):
    with pytest.raises(PrepError, match=r"--(size|quality) \d+: give"):
        ResizeParameters(size, quality)


def test_the_frame_header_of_the_crafted_jpeg_is_where_it_is_patched():
    assert struct.unpack(">HH", jpeg_of_size(300, 200)[jpeg().index(b"\xff\xc0") + 5 :][:4]) == (200, 300)

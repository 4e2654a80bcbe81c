"""Bytes of any kind give a picture or an ImageError: every format, damage of all sorts, sizes, memory."""

import io
import resource
import struct
import zlib
from contextlib import suppress

import cv2
import numpy as np
import pytest
from dumps import encode, jpeg, photo, sixteen_bit, ycck_jpeg
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from image_files import BOMBS, FILES, FOREIGN, PICTURE, VARIANTS, damaged_in_the_middle, tiled_tiff, webp_of_size
from PIL import Image

from in21k.shards_manifest.images import decode as decoders
from in21k.shards_manifest.images import jpeg as jpegs
from in21k.shards_manifest.images import pillow
from in21k.shards_manifest.images.decode import decode, decode_strictly, examine, read_pixels
from in21k.shards_manifest.images.faults import ImageError, ImageFault
from in21k.shards_manifest.images.formats import CODECS, pillow_reads, recognize
from in21k.shards_manifest.images.limits import MEMORY, Limits
from in21k.shards_manifest.images.reference import decode_as_opencv

LIMITS = Limits(pixels=1 << 20)
READABLE = [codec.name for codec in CODECS if codec.name == "webp" or pillow_reads(codec)]
LOSSLESS = {"png", "bmp", "tiff", "ppm", "lossless webp"}


def strictly(data, limits=LIMITS):
    return decode_strictly(data, limits, np.empty((8, 8, 3), np.uint8))


def fault(data, limits=LIMITS, read=read_pixels):
    with pytest.raises(ImageError) as caught:
        read(data, limits)
    return caught.value.fault, caught.value.detail


def distance(pixels, image):
    return np.abs(pixels.astype(int) - np.asarray(image.convert("RGB"))).mean()


READERS = [read_pixels, strictly]


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("name", READABLE)
def test_each_format_is_recognized_and_decoded_whatever_it_is_called(name, read):
    data = FILES[name]()
    codec = recognize(data)
    assert codec is not None
    assert codec.name == name
    pixels = read(memoryview(data), LIMITS)
    assert (pixels.shape, pixels.dtype) == ((36, 48, 3), np.uint8)
    assert distance(pixels, PICTURE) <= (0 if name in LOSSLESS else 12)
    assert (examine(data, LIMITS).width, examine(data, LIMITS).height, examine(data, LIMITS).format) == (48, 36, name)


@pytest.mark.parametrize("name", ["avif", "jpeg2000", "tiff"])
def test_a_format_that_pillow_lacks_is_named(monkeypatch, name):
    monkeypatch.setattr(pillow, "pillow_reads", lambda codec: False)
    found, detail = fault(FILES[name]())
    assert found is ImageFault.NOT_AN_IMAGE
    assert detail.endswith(f"this build of Pillow does not read {name.upper()}")


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("name", FOREIGN)
def test_nothing_else_reaches_a_decoder(monkeypatch, name, read):
    for module, decoder in ((Image, "open"), (cv2, "imdecode")):
        monkeypatch.setattr(module, decoder, lambda *_, **__: pytest.fail("a decoder was called"))
    found, detail = fault(FOREIGN[name], read=read)
    assert found is ImageFault.NOT_AN_IMAGE
    assert str(len(FOREIGN[name])) in detail


def test_a_file_that_is_both_jpeg_and_pdf_is_decoded_as_the_jpeg(monkeypatch):
    comment = FOREIGN["pdf"]
    data = jpeg(1)
    both = data[:2] + b"\xff\xfe" + struct.pack(">H", len(comment) + 2) + comment + data[2:]
    assert (read_pixels(both, LIMITS) == read_pixels(data, LIMITS)).all()


@pytest.mark.parametrize("name", [name for name in READABLE if name not in ("jpeg", "webp")])
def test_pillow_is_offered_one_format_alone(monkeypatch, name):
    asked = []
    opened = Image.open
    monkeypatch.setattr(Image, "open", lambda file, formats: asked.append(formats) or opened(file, formats=formats))
    monkeypatch.setattr(Image, "init", lambda: pytest.fail("all plugins were loaded"))
    read_pixels(FILES[name](), LIMITS)
    assert asked == [(name.upper(),)]


@pytest.mark.parametrize("read", [*READERS, decode_as_opencv, examine])
@pytest.mark.parametrize("name", [name for name in BOMBS if name != "jpeg2000" or name in READABLE])
def test_a_picture_too_large_is_refused_by_its_header(monkeypatch, name, read):
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("OpenCV saw it"))
    data = BOMBS[name]()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found, detail = fault(data, Limits(pixels=128_000_000), read)
    assert found is ImageFault.TOO_MANY_PIXELS
    assert detail in ("30000 × 30000 pixels", "16383 × 16383 pixels")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 30 << 10  # KiB


@pytest.mark.parametrize("kind", ["VP8", "VP8L", "VP8X"])
def test_the_limits_hold_for_webp_exactly(kind):
    data = webp_of_size(20, 10, kind)
    assert fault(data, Limits(pixels=199)) == (ImageFault.TOO_MANY_PIXELS, "20 × 10 pixels")
    assert fault(data, Limits(pixels=200))[0] is ImageFault.DAMAGED


@pytest.mark.parametrize(
    ("name", "per_pixel"),
    [
        ("gif", 5),
        ("png", 4),
        ("16-bit png", 7),
        ("16-bit tiff", 7),
        ("float tiff", 9),
        ("cmyk jpeg", 8),
        ("webp", 10),
        ("jpeg", 4),
        ("progressive jpeg", 7),
    ],
)
def test_memory_is_counted_by_what_a_pixel_takes(name, per_pixel):
    data = VARIANTS[name]()
    assert read_pixels(data, Limits(pixels=1728, memory=1728 * per_pixel)).shape == (36, 48, 3)
    found, detail = fault(data, Limits(pixels=1728, memory=1728 * per_pixel - 1))
    assert found is ImageFault.TOO_MANY_PIXELS
    assert detail.startswith(f"48 × 36 pixels of {per_pixel} bytes")


def test_opencv_never_sees_a_png_whose_chunks_are_longer_than_it(monkeypatch):
    whole = FILES["png"]()
    assert decode_as_opencv(whole, LIMITS).shape == (36, 48, 3)
    assert decode_as_opencv(whole + b"trailing garbage", LIMITS).shape == (36, 48, 3)
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("OpenCV saw it"))
    at = whole.index(b"IDAT") - 4
    assert fault(whole[:at] + b"\xff" + whole[at + 1 :], read=decode_as_opencv) == (
        ImageFault.DAMAGED,
        "OpenCV reads no image",
    )


def test_a_tile_is_counted_although_the_picture_is_small():
    assert fault(tiled_tiff(1 << 16))[0] is ImageFault.TOO_MANY_PIXELS


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(
    "error",
    [
        *(
            ValueError("v"),
            OSError("o"),
            SyntaxError("s"),
            EOFError(),
            OverflowError("o"),
            RecursionError("r"),
            TypeError("t"),
        ),
        *(
            struct.error("s"),
            zlib.error("z"),
            cv2.error("c"),
            Image.DecompressionBombError("b"),
            NotImplementedError("n"),
        ),
    ],
)
def test_whatever_a_decoder_raises_is_one_exception(monkeypatch, read, error):
    def fail(*_):
        raise error

    for function in ("read_with_pillow", "read_webp"):
        monkeypatch.setattr(decoders, function, fail)
    for name in ("png", "webp"):
        found, detail = fault(FILES[name](), read=read)
        assert found is ImageFault.DAMAGED
        assert detail.startswith(type(error).__name__)


@pytest.mark.parametrize("read", [*READERS, examine])
def test_memory_that_is_not_there_is_an_error_with_a_fault_too(monkeypatch, read):
    def fail(*_):
        raise MemoryError

    monkeypatch.setattr(jpegs, "_buffer", fail)
    monkeypatch.setattr(decoders, "read_with_pillow", fail)
    for name in ("jpeg", "png"):
        assert fault(FILES[name](), read=read)[0] is ImageFault.TOO_MANY_PIXELS


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit])
def test_interruptions_pass(monkeypatch, interruption):
    def fail(*_):
        raise interruption

    monkeypatch.setattr(decoders, "read_with_pillow", fail)
    with pytest.raises(interruption):
        read_pixels(FILES["png"](), LIMITS)


@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.sampled_from([VARIANTS[name]() for name in VARIANTS]), st.data())
def test_damaged_files_give_a_picture_or_an_image_error(whole, draw):
    data = bytearray(whole[: draw.draw(st.integers(0, len(whole)))] if draw.draw(st.booleans()) else whole)
    for _ in range(draw.draw(st.integers(0, 6)) if data else 0):
        # Headers decide most, so half of the flips hit the first 64 bytes.
        last = min(len(data), draw.draw(st.sampled_from([64, len(data)]))) - 1
        data[draw.draw(st.integers(0, last))] ^= 1 << draw.draw(st.integers(0, 7))
    for read in (read_pixels, strictly, examine, decode_as_opencv):
        with suppress(ImageError):
            read(bytes(data), LIMITS)


@pytest.mark.parametrize("read", [*READERS, examine])
def test_no_bytes_are_empty(read):
    assert fault(b"", read=read) == (ImageFault.EMPTY, "0 bytes")


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("name", READABLE)
def test_a_file_cut_in_its_header_says_so(name, read):
    assert fault(FILES[name]()[:24], read=read)[0] in (
        ImageFault.NOT_AN_IMAGE,
        ImageFault.TRUNCATED,
        ImageFault.DAMAGED,
    )


@pytest.mark.parametrize("name", ["png", "webp"])
def test_a_file_cut_in_its_pixels_is_truncated(name):
    data = FILES[name]()
    assert fault(data[: len(data) // 2])[0] is ImageFault.TRUNCATED


def with_exif(kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encode(PICTURE, kind, exif=exif)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_found_images_are_turned_upright_and_prepared_ones_are_not(kind, orientation):
    data = with_exif(kind, orientation)
    turned, plain = read_pixels(data, LIMITS), strictly(data)
    assert turned.shape == ((48, 36, 3) if orientation > 4 else (36, 48, 3))
    assert distance(plain, PICTURE) < 12
    assert (turned == plain).all() if orientation == 1 else not np.array_equal(turned, plain)


def test_tolerance_is_of_damage_that_libjpeg_decodes_over():
    warned = damaged_in_the_middle()
    assert decode(warned, LIMITS).warning
    assert read_pixels(warned, LIMITS).shape == (90, 120, 3)
    assert fault(warned, read=strictly)[0] is ImageFault.DAMAGED
    assert fault(warned, read=examine)[0] is ImageFault.DAMAGED
    assert examine(warned, LIMITS, as_found=True).is_rgb


@pytest.mark.parametrize("read", READERS)
def test_sixteen_bits_are_scaled_and_not_clipped(read):
    for name in ("16-bit png", "16-bit tiff"):
        assert (read(VARIANTS[name](), LIMITS) == (sixteen_bit(1, PICTURE.size) >> 8)[..., None]).all()


@pytest.mark.parametrize("read", READERS)
def test_transparency_is_dropped_and_not_composed(read):
    image = photo(5)
    image.putalpha(0)
    assert (read(encode(image, "PNG"), LIMITS) == np.asarray(photo(5))).all()
    palette = PICTURE.quantize(16)
    assert (read(VARIANTS["transparent palette"](), LIMITS) == np.asarray(palette.convert("RGB"))).all()


@pytest.mark.parametrize("read", READERS)
def test_cmyk_and_ycck_come_out_in_their_colors(read):
    image = photo(11)
    for data in (encode(image.convert("CMYK"), quality=100), ycck_jpeg(image.convert("CMYK"))):
        assert distance(read(data, LIMITS), image) < 6


@pytest.mark.parametrize("read", READERS)
def test_the_first_frame_of_an_animation_is_taken(read):
    frames = [Image.new("RGB", (20, 20), color).quantize() for color in ("red", "blue")]
    data = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert Image.open(io.BytesIO(data)).n_frames == 2
    assert (read(data, LIMITS) == (255, 0, 0)).all()


def test_pixels_of_the_rows_shape_are_decoded_into_it():
    row = np.zeros((30, 40, 3), np.uint8)
    assert decode_strictly(jpeg(1), LIMITS, row) is row
    assert (row == read_pixels(jpeg(1), LIMITS)).all()


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": "4:4:4"}, {"quality": 5}])
def test_jpegs_are_pillows_bit_for_bit(options):
    data = jpeg(3, (97, 61), **options)
    wanted = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    for read in READERS:
        assert (read(data, LIMITS) == wanted).all()


def test_eight_bit_pictures_within_the_pixel_limits_are_within_the_memory():
    assert MEMORY >= 4 * 128_000_000

"""WebP with Pillow's libwebp, with OpenCV's, with both and with neither."""

from contextlib import suppress

import cv2
import numpy as np
import pytest
from dumps import encode, photo
from image_files import VARIANTS, transparent_webp, webp_file
from PIL import Image, features

from in21k.shards_manifest.images import webp
from in21k.shards_manifest.images.decode import examine, read_pixels
from in21k.shards_manifest.images.faults import ImageError, ImageFault
from in21k.shards_manifest.images.limits import Limits

LIMITS = Limits(pixels=1 << 20)
in_pillow = pytest.mark.skipif(not features.check("webp"), reason="this build of Pillow has no WebP")


@pytest.fixture(params=["opencv", pytest.param("pillow", marks=in_pillow)])
def library(request, monkeypatch):
    """Leave one of the two libraries that read and write WebP."""
    if request.param == "opencv":
        monkeypatch.setattr(webp, "pillow_reads", lambda codec: False)
    else:
        monkeypatch.setattr(webp, "opencv_has_webp", lambda: False)
    return request.param


def test_reading_needs_one_library(library):
    pixels = read_pixels(webp_file(photo(1), 101), LIMITS)
    assert (pixels == np.asarray(photo(1))).all()


@in_pillow
@pytest.mark.parametrize("name", ["webp", "lossless webp", "transparent webp"])
def test_both_libraries_give_the_same_pixels(monkeypatch, name):
    data = VARIANTS[name]()
    by_opencv = read_pixels(data, LIMITS)
    monkeypatch.setattr(webp, "opencv_has_webp", lambda: False)
    assert (read_pixels(data, LIMITS) == by_opencv).all()


def test_transparency_is_dropped(library):
    assert np.abs(read_pixels(transparent_webp(photo(1)), LIMITS).astype(int) - np.asarray(photo(1))).mean() < 12
    assert not examine(transparent_webp(photo(1)), LIMITS).is_rgb
    assert examine(webp_file(photo(1)), LIMITS).is_rgb


def test_writing_needs_one_library(library):
    for image in (photo(1), Image.frombuffer("RGBX", photo(1).size, photo(1).convert("RGBX").tobytes())):
        written = webp.write_webp(image, 95)
        assert written[:4] + written[8:12] == b"RIFFWEBP"
        assert np.abs(read_pixels(written, LIMITS).astype(int) - np.asarray(photo(1))).mean() < 8


@in_pillow
def test_pillow_writes_where_it_can():
    assert webp.write_webp(photo(1), 80) == encode(photo(1), "WEBP", quality=80)


def test_the_writer_is_named(library):
    version = features.version("webp") if library == "pillow" else f"OpenCV {cv2.__version__}"
    assert webp.webp_writer() == version


def test_without_either_it_is_one_line(monkeypatch):
    monkeypatch.setattr(webp, "pillow_reads", lambda codec: False)
    monkeypatch.setattr(webp, "opencv_has_webp", lambda: False)
    assert webp.webp_writer() == "none"
    with pytest.raises(RuntimeError, match="writes WebP"):
        webp.write_webp(photo(1), 80)
    with pytest.raises(ImageError, match="neither Pillow nor OpenCV reads WebP here") as caught:
        read_pixels(webp_file(photo(1)), LIMITS)
    assert caught.value.fault is ImageFault.NOT_AN_IMAGE


def test_without_opencv_installed_pillow_is_asked(monkeypatch):
    monkeypatch.setattr(webp, "opencv", lambda: None)
    webp.opencv_has_webp.cache_clear()
    assert not webp.opencv_has_webp()
    webp.opencv_has_webp.cache_clear()


def test_damage_is_told_in_the_error_alone(capfd):
    data = bytearray(webp_file(photo(1)))
    data[40:] = bytes(len(data) - 40)
    for broken in (bytes(data), bytes(data[:100])):
        with suppress(ImageError):
            read_pixels(broken, LIMITS)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("save", [{}, {"lossless": True}])
def test_the_first_frame_of_an_animation_is_taken(save):
    frames = [photo(seed) for seed in (1, 2)]
    if not features.check("webp"):
        pytest.skip("nothing here writes animations")
    data = encode(frames[0], "WEBP", save_all=True, append_images=frames[1:], **save)
    assert np.abs(read_pixels(data, LIMITS).astype(int) - np.asarray(photo(1))).mean() < 12

"""Images with much around them: gzipped where they lie, and PNGs with large profiles and comments."""

import gzip

import numpy as np
import pyarrow.parquet as pq
import pytest
from commands import call
from dumps import encode, images_of, jpeg, make_dump, photo
from PIL import PngImagePlugin

from in21k.prep.images.parameters import ResizeParameters
from in21k.prep.images.resize_image import resize_image
from in21k.shards_manifest.images.decode import decode, examine, read_pixels
from in21k.shards_manifest.images.faults import ImageError
from in21k.shards_manifest.images.limits import Limits

DOG = "n02084071"
LIMITS = Limits(pixels=1 << 20)


def png_with_comment(length: int) -> bytes:
    text = PngImagePlugin.PngInfo()
    text.add_text("note", "a" * length, zip=True)
    return encode(photo(1), "PNG", pnginfo=text)


LARGE = {
    "profile": encode(photo(1), "PNG", icc_profile=np.random.default_rng(0).bytes(20_000) + bytes(2 << 20)),
    "comment": png_with_comment(2 << 20),
}


@pytest.mark.parametrize("kind", LARGE)
def test_a_png_is_an_image_however_large_its_profile_or_comment(kind):
    for read in (read_pixels, lambda data, limits: np.asarray(decode(data, limits).pixels)):
        assert (read(LARGE[kind], LIMITS) == np.asarray(photo(1))).all()


def test_a_comment_that_unpacks_without_end_is_refused():
    with pytest.raises(ImageError, match=r"^damaged: "):
        read_pixels(png_with_comment(100 << 20), LIMITS)


def test_a_gzipped_image_is_the_image():
    data = jpeg(1, (30, 20))
    for padding in (b"", bytes(1000), b"garbage"):
        assert (read_pixels(gzip.compress(data, mtime=0) + padding, LIMITS) == read_pixels(data, LIMITS)).all()


@pytest.mark.parametrize("compat", ["", "reference"])
@pytest.mark.parametrize("size", [(24, 24), (20, 10), (80, 60)])
def test_a_gzipped_image_is_resized_as_the_image_is(size, compat):
    data, parameters = jpeg(1, size), ResizeParameters(24, compat=compat)
    assert resize_image(gzip.compress(data, mtime=0), parameters) == resize_image(data, parameters)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (gzip.compress(gzip.compress(jpeg(1), mtime=0), mtime=0), r"not-an-image: .*\\x1f\\x8b"),
        (gzip.compress(b"text", mtime=0), "not-an-image: 4 bytes"),
        (gzip.compress(jpeg(1), mtime=0)[:100], "truncated: a gzip that ends early"),
        (b"\x1f\x8b\x08" + bytes(range(100, 200)), "damaged: error: "),
        (gzip.compress(bytes(65 << 20), mtime=0), "not-an-image: .*more than 64 MiB"),
        (b"\x1f\x8b", "truncated: "),
    ],
)
def test_a_gzip_that_holds_no_image_is_refused(data, why):
    for read in (read_pixels, lambda data, limits: resize_image(data, ResizeParameters(24))):
        with pytest.raises(ImageError, match=why):
            read(data, LIMITS)


def test_a_prepared_dataset_holds_no_gzips():
    with pytest.raises(ImageError, match="not-an-image"):
        examine(gzip.compress(jpeg(1), mtime=0), LIMITS)


def test_a_dump_keeps_its_wrapped_images(tmp_path, inline):
    odd = [(f"{DOG}_{kind}.JPEG", data) for kind, data in LARGE.items()]
    odd += [(f"{DOG}_gz.JPEG", gzip.compress(jpeg(3), mtime=0)), (f"{DOG}_bad.JPEG", gzip.compress(b"text"))]
    raw = make_dump(tmp_path / "raw.tar", {DOG: [*images_of(DOG, 5), *odd]})
    call("run", raw, tmp_path / "work", tmp_path / "out", "--min-images", 1, "--val-per-class", 2, "--size", 24)
    rejects = pq.read_table(tmp_path / "out" / "rejects.parquet").to_pylist()
    assert [(row["name"], row["reason"]) for row in rejects] == [(f"{DOG}_bad.JPEG", "not-an-image")]
    keys = pq.read_table(tmp_path / "out" / "samples.parquet")["key"].to_pylist()
    assert {f"{DOG}_{kind}" for kind in (*LARGE, "gz")} <= set(keys)
    assert call("verify", tmp_path / "out", "--deep", "--workers", 1)["sound"]

import io
import json
import tarfile
from dataclasses import replace

import cv2
import numpy as np
import pytest
from commands import RefusedError, call
from dumps import encode, images_of, jpeg, make_dump, photo
from image_files import webp_file
from PIL import Image, features

from in21k.prep.errors import PrepError
from in21k.prep.images.parameters import Filter, ResizeParameters
from in21k.prep.images.resize_image import decoder_versions, resize_image
from in21k.shards_manifest.images import webp
from in21k.shards_manifest.images.decode import examine
from in21k.shards_manifest.images.faults import ImageError
from in21k.shards_manifest.images.limits import Limits
from in21k.shards_manifest.manifest import ImageFormat, ResizeMode

DOG = "n02084071"
SIZES = [(80, 60), (60, 80), (500, 375), (50, 50), (20, 300), (33, 7)]


def read(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


@pytest.mark.parametrize("size", SIZES)
def test_short_edge_keeps_the_shape(size):
    made = read(resize_image(jpeg(1, size), ResizeParameters(32, mode=ResizeMode.SHORT_EDGE)).data)
    assert min(made.size) == 32
    assert (made.width > made.height) == (size[0] > size[1])
    assert max(made.size) == pytest.approx(32 * max(size) / min(size), abs=0.51)


def test_short_edge_equals_pillows_resize():
    data = jpeg(1, (80, 60))
    made = resize_image(data, ResizeParameters(32, mode=ResizeMode.SHORT_EDGE)).data
    assert made == encode(read(data).resize((43, 32), Image.Resampling.BICUBIC), quality=95)


@pytest.mark.parametrize("size", SIZES)
def test_center_crop_is_the_middle_of_short_edge(size):
    data = jpeg(1, size)
    made = resize_image(data, ResizeParameters(32, mode=ResizeMode.CENTER_CROP)).data
    width, height = read(resize_image(data, ResizeParameters(32, mode=ResizeMode.SHORT_EDGE)).data).size
    whole = read(data).resize((width, height), Image.Resampling.BICUBIC)
    left, top = (width - 32) // 2, (height - 32) // 2
    assert made == encode(whole.crop((left, top, left + 32, top + 32)), quality=95)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("mode", [ResizeMode.CENTER_CROP, ResizeMode.SHORT_EDGE])
def test_the_middle_computed_alone_is_the_middle(monkeypatch, mode, size):
    parameters = ResizeParameters(32, mode=mode)
    whole = read(resize_image(jpeg(1, size), parameters).data)
    monkeypatch.setattr("in21k.prep.images.resize_image._LARGE", 0)
    alone = read(resize_image(jpeg(1, size), parameters).data)
    assert alone.size == whole.size
    assert np.abs(np.asarray(alone).astype(int) - np.asarray(whole)).max() <= 3


def test_the_middle_of_a_line_takes_no_more_than_the_line():
    line = encode(Image.fromarray(np.random.default_rng(0).integers(0, 255, (1, 60_000, 3), np.uint8)))
    made = resize_image(line, ResizeParameters(224, mode=ResizeMode.CENTER_CROP), memory=1 << 20).data
    middle = np.asarray(read(line))[0, 30_000].astype(int)
    assert read(made).size == (224, 224)
    assert np.abs(np.asarray(read(made)).astype(int)[:, 112] - middle).mean() < 40


@pytest.mark.parametrize(("written", "longest"), [(ImageFormat.JPEG, 65_500), (ImageFormat.WEBP, 16_383)])
def test_a_side_that_the_format_does_not_hold_is_a_reason(written, longest):
    parameters = ResizeParameters(8, mode=ResizeMode.SHORT_EDGE, format=written)
    made = examine(resize_image(jpeg(1, (longest // 8, 1)), parameters).data, Limits(pixels=1 << 20))
    assert (made.width, made.height) == (longest // 8 * 8, 8)
    with pytest.raises(ImageError, match=f"too-many-pixels: {longest // 8 + 1} × 1 .* at most {longest:,} per side"):
        resize_image(jpeg(1, (longest // 8 + 1, 1)), parameters)


@pytest.mark.parametrize("mode", ResizeMode)
def test_a_narrow_image_is_refused_before_it_is_made_wide(mode):
    line = encode(Image.new("RGB", (1, 1_000_000)), "PNG")
    with pytest.raises(ImageError, match="too-many-pixels: 1 × 1000000 pixels"):
        resize_image(line, ResizeParameters(224, mode=mode), memory=100 << 20)


@pytest.mark.parametrize("mode", ResizeMode)
def test_a_jpeg_that_has_its_size_is_kept_byte_for_byte(mode):
    data = jpeg(1, (32, 32), quality=50)
    assert resize_image(data, ResizeParameters(32, mode=mode)).data == data


def test_a_jpeg_whose_short_side_has_the_size_is_still_cropped():
    assert read(resize_image(jpeg(1, (48, 32)), ResizeParameters(32, mode=ResizeMode.CENTER_CROP)).data).size == (
        32,
        32,
    )


@pytest.mark.parametrize("data", [jpeg(1), encode(photo(2), "PNG"), encode(photo(3).convert("L"))])
def test_webp_is_libwebps(data):
    made = resize_image(data, ResizeParameters(32, 80, format=ImageFormat.WEBP)).data
    wanted = np.asarray(read(data).convert("RGB").resize((32, 32), Image.Resampling.BICUBIC))
    _, encoded = cv2.imencode(".webp", cv2.cvtColor(wanted, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_WEBP_QUALITY, 80])
    assert made == encoded.tobytes()


def test_without_any_webp_it_is_one_line(monkeypatch):
    monkeypatch.setattr(webp, "pillow_reads", lambda codec: False)
    monkeypatch.setattr(webp, "opencv_has_webp", lambda: False)
    with pytest.raises(PrepError, match="--format webp: neither Pillow nor OpenCV writes WebP here"):
        ResizeParameters(32, format=ImageFormat.WEBP)
    with pytest.raises(ImageError, match="neither Pillow nor OpenCV reads WebP here"):
        resize_image(webp_file(photo(1)), ResizeParameters(32))


@pytest.mark.parametrize(
    ("in_pillow", "writer"), [(True, features.version("webp")), (False, f"OpenCV {cv2.__version__}")]
)
def test_the_versions_say_which_library_wrote_webp(monkeypatch, in_pillow, writer):
    decoder_versions.cache_clear()
    monkeypatch.setattr(webp, "pillow_reads", lambda codec: in_pillow)
    assert decoder_versions(ImageFormat.WEBP)["libwebp"] == str(writer)
    assert decoder_versions(ImageFormat.JPEG)["libwebp"] == str(features.version("webp") or "none")
    decoder_versions.cache_clear()


def opencv(data: bytes, size: int, quality: int) -> bytes:
    """The reference's loop, written anew."""
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if max(image.shape) < size:
        return data
    _, encoded = cv2.imencode(".jpg", cv2.resize(image, (size, size)), [cv2.IMWRITE_JPEG_QUALITY, quality])
    return encoded.tobytes()


@pytest.mark.parametrize("size", [*SIZES, (31, 30), (32, 10)])
def test_compat_reference_gives_opencvs_bytes(size):
    data = jpeg(4, size)
    assert resize_image(data, ResizeParameters(32, compat="reference")).data == opencv(data, 32, 95)


def test_compat_reference_copies_small_images():
    data = jpeg(4, (31, 30))
    assert resize_image(data, ResizeParameters(32, compat="reference")).data == data


def test_compat_reference_knows_no_other_mode_or_format():
    for other in ({"mode": ResizeMode.SHORT_EDGE}, {"format": ImageFormat.WEBP}):
        with pytest.raises(PrepError, match="compat reference squishes and writes JPEGs"):
            ResizeParameters(32, compat="reference", **other)


@pytest.mark.parametrize("option", [("--filter", "lanczos"), ("--on-warning", "reject")])
def test_what_compat_reference_would_ignore_is_refused_in_one_line(option, tmp_path):
    raw = make_dump(tmp_path / "raw.tar", {DOG: images_of(DOG, 6)})
    with pytest.raises(RefusedError, match=r"compat reference .*leave --filter and --on-warning out"):
        call("run", raw, tmp_path / "work", tmp_path / "out", "--min-images", 1, "--compat", "reference", *option)
    assert not (tmp_path / "work").exists()


CHOICES = {
    "short-edge": ("--mode", "short-edge"),
    "center-crop": ("--mode", "center-crop"),
    "webp": ("--format", "webp"),
    "quality": ("--quality", 60),
    "compat": ("--compat", "reference"),
}


@pytest.mark.parametrize("choice", CHOICES)
def test_a_dataset_of_each_mode_says_which_and_holds_what_the_function_gives(choice, tmp_path, inline):
    files = images_of(DOG, 6, (40, 30))
    raw = make_dump(tmp_path / "raw.tar", {DOG: files})
    out = tmp_path / "out"
    options = ("--min-images", 1, "--val-per-class", 2, "--size", 24, *CHOICES[choice])
    call("run", raw, tmp_path / "work", out, *options)
    chosen = json.loads((out / "manifest.json").read_bytes())["parameters"]["resize"]
    option, value = CHOICES[choice]
    assert chosen[option.removeprefix("--").replace("-", "_")] == value
    suffix = ".webp" if choice == "webp" else ".jpg"
    made = {}
    for shard in out.glob("*/*.tar"):
        with tarfile.open(shard) as tar:
            made |= {m.name: tar.extractfile(m).read() for m in tar if not m.name.endswith(".cls")}
    mode, kind = ResizeMode(chosen["mode"]), ImageFormat(chosen["format"])
    parameters = ResizeParameters(24, chosen["quality"], Filter.BICUBIC, mode, kind)
    parameters = replace(parameters, compat=chosen["compat"])
    assert made == {
        name.replace(".JPEG", suffix): resize_image(data, parameters).data for name, data in map(tuple, files)
    }
    assert call("verify", out, "--workers", 1)["sound"]


def test_another_mode_in_the_same_work_folder_is_refused(tmp_path, inline):
    raw = make_dump(tmp_path / "raw.tar", {DOG: images_of(DOG, 6)})
    run = ("run", raw, tmp_path / "work", tmp_path / "out", "--min-images", 1, "--val-per-class", 2, "--size", 24)
    call(*run)
    with pytest.raises(RefusedError, match="resize was done with mode 'squish', not 'center-crop'"):
        call(*run, "--mode", "center-crop")

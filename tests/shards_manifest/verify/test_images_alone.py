"""An image that is not as it has to be, in a dataset whose digests, tables and sidecars all speak of that image."""

import io
import shutil

import numpy as np
import pytest
from damage import with_first_image
from PIL import Image

from in21k.shards_manifest.storage.location import locate
from in21k.shards_manifest.verify.checks import verify
from in21k.shards_manifest.verify.findings import Depth

TRAIN = "train/in21k-train-000000.tar"


def image(mode="RGB", size=(16, 16), kind="JPEG"):
    encoded = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    Image.fromarray(pixels).convert(mode).save(encoded, kind)
    return encoded.getvalue()


@pytest.mark.parametrize(
    ("data", "finding"),
    [
        (image(), None),
        (image()[:-200], ("E401", "damaged: ValueError: ")),
        (b"no image", ("E401", "not-an-image: 8 bytes")),
        (image(size=(17, 16)), ("E402", "17 × 16 pixels, not 16 × 16")),
        (image(size=(16, 17)), ("E402", "16 × 17 pixels, not 16 × 16")),
        (image("L"), ("E403", "not RGB")),
        (image(kind="PNG"), ("E404", "png, not jpeg")),
    ],
    ids=["sound", "truncated", "junk", "wide", "high", "gray", "png"],
)
def test_an_odd_image_is_the_only_finding(dataset, tmp_path, data, finding):
    copy = shutil.copytree(dataset.out, tmp_path / "copy")
    with_first_image(copy, data)
    found = [(each.code, each.path, each.message) for each in verify(locate(copy), Depth.DEEP).findings]
    if finding is None:
        assert found == []
    else:
        ((code, path, message),) = found
        assert (code, path) == (finding[0], TRAIN)
        assert finding[1] in message

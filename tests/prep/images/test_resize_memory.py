"""Memory that runs out while an image is encoded is the image's row, not the end of the run."""

import pytest
from dumps import jpeg

from in21k.prep.images import resize_image as module
from in21k.prep.images.parameters import ResizeParameters
from in21k.shards_manifest.images.faults import ImageError, ImageFault


def test_memory_that_runs_out_in_the_encoder_is_the_images_fault(monkeypatch):
    def encode(*_):
        raise MemoryError

    monkeypatch.setattr(module, "encode_jpeg", encode)
    with pytest.raises(ImageError) as raised:
        module.resize_image(jpeg(), ResizeParameters(size=16))
    assert raised.value.fault is ImageFault.TOO_MANY_PIXELS

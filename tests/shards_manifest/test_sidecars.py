import io
import json
import tarfile

import numpy as np
import pytest
from PIL import Image

from in21k.shards_manifest.sidecars import timm_info


def samples(dataset, split):
    """Return (label, pixels) of a split's samples in order, through tarfile."""
    found = []
    for shard in dataset.manifest.splits[split]:
        with tarfile.open(dataset.out / shard.path) as tar:
            for image, label in zip(*[iter(tar)] * 2, strict=True):
                pixels = np.asarray(Image.open(io.BytesIO(tar.extractfile(image).read())))
                found.append((int(tar.extractfile(label).read()), pixels))
    return found


def test_info_lists_shards_and_their_lengths(dataset):
    info = json.loads((dataset.out / "_info.json").read_bytes())
    assert (dataset.out / "_info.json").read_bytes() == timm_info(dataset.manifest)
    for split, shards in dataset.manifest.splits.items():
        assert info["splits"][split]["num_samples"] == sum(shard.samples for shard in shards)
        lengths = dict(zip(info["splits"][split]["filenames"], info["splits"][split]["shard_lengths"], strict=True))
        for path, length in lengths.items():
            with tarfile.open(dataset.out / path) as tar:
                assert len(tar.getnames()) == 2 * length


@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.filterwarnings("ignore")
def test_timms_own_reader_gives_every_sample_with_its_label(dataset, split):
    data = pytest.importorskip("timm.data")
    pytest.importorskip("webdataset")
    read = data.create_dataset("wds/in21k", root=str(dataset.out), split=split, num_samples=None, batch_size=1)
    expected = samples(dataset, split)
    assert len(read) == len(expected)
    found = [(int(label), np.asarray(image.convert("RGB"))) for image, label in read]
    assert len(found) == len(expected)

    def ordered(pairs):
        return sorted((label, pixels.tobytes()) for label, pixels in pairs)

    assert ordered(found) == ordered(expected)

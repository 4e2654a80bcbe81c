"""Random crops in the loader: of training images alone, the same on any ranks and processes, at any size."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from small_dataset import jpeg, write_dataset
from streams import decoding_with, equal, source_of, stream

from in21k.train.config.overrides import with_values
from in21k.train.config.settings import Config
from in21k.train.data.interfaces import RandomCrops
from in21k.train.data.prepared.dataset import open_dataset
from in21k.train.device.ranks import Ranks
from in21k.train.errors import TrainError
from in21k.train.images.crops import resized_crops
from in21k.train.run.resolve import resolved
from in21k.train.stream.source import train_source, val_source

CROPS = RandomCrops(seed=5, areas=(0.2, 0.8), ratios=(0.75, 1.25))
SETTINGS = {"data.random_crop_min_area": 0.2, "data.random_crop_max_area": 0.8, "run.workers": 0, "run.seed": 5}


@pytest.mark.parametrize("downscale", ["", "libjpeg", "linear"])
@pytest.mark.parametrize("side", [16, 32])
def test_each_image_is_cropped_out_of_all_of_its_pixels(dataset_folder, side, downscale):
    """A JPEG scaled by libjpeg to 16 of 32 pixels would have to be magnified again."""
    source = decoding_with(source_of(dataset_folder, size=side), random_crops=CROPS, downscale=downscale)
    (batch,) = stream(source, 93)
    (plain,) = stream(source_of(dataset_folder), 93)
    crops = resized_crops(CROPS.areas, CROPS.ratios, CROPS.seed, 0, 0, 93)
    for image, whole, crop in zip(batch.images, plain.images, crops, strict=True):
        top, bottom, left, right = crop.box(32, 32)
        part = Image.fromarray(whole.permute(1, 2, 0).numpy()).crop((left, top, right, bottom))
        expected = part.resize((side, side), Image.Resampling.BICUBIC)
        np.testing.assert_array_equal(image.permute(1, 2, 0), np.asarray(expected))


@pytest.mark.parametrize("wild", [False, True])
def test_ranks_processes_and_a_later_start_change_nothing(dataset_folder, wild):
    source = decoding_with(source_of(dataset_folder), random_crops=CROPS, wild=wild)
    alone = stream(source, epochs=2)
    assert equal(stream(source, epochs=2, workers=2), alone)
    assert equal(stream(source, epochs=2, start_step=13), alone[13:])
    halves = [stream(source, epochs=2, rank=rank, world=2) for rank in (0, 1)]
    joined = [torch.cat([left.images, right.images]) for left, right in zip(*halves, strict=True)]
    assert all(torch.equal(both, one.images) for both, one in zip(joined, alone, strict=True))


def test_a_random_crop_takes_the_place_of_a_square(tmp_path):
    """In a dataset whose images are not square, the whole of which is there to crop."""

    def wide(split, number, sample):
        file = io.BytesIO()
        Image.open(io.BytesIO(jpeg(1, 1))).resize((96, 32)).save(file, "PNG")
        return type(sample)(sample.key, sample.class_index, file.getvalue())

    folder = write_dataset(tmp_path, replace=wide, parameters={"size": 32, "mode": "short-edge"})
    (batch,) = stream(decoding_with(source_of(folder), random_crops=CROPS, crop_seed=5), 93)
    whole = Image.open(io.BytesIO(jpeg(1, 1))).resize((96, 32))
    for image, crop in zip(batch.images, resized_crops(CROPS.areas, CROPS.ratios, 5, 0, 0, 93), strict=True):
        top, bottom, left, right = crop.box(32, 96)
        expected = whole.crop((left, top, right, bottom)).resize((32, 32), Image.Resampling.BICUBIC)
        np.testing.assert_array_equal(image.permute(1, 2, 0), np.asarray(expected))


@pytest.mark.parametrize("size", [32, "0:16, 1:24"])
@pytest.mark.parametrize("device", ["cpu", "gpu"])
def test_only_training_images_are_cropped_wherever_they_are_augmented(dataset_folder, device, size):
    data = open_dataset(str(dataset_folder))
    config = with_values(Config(), {**SETTINGS, "data.augment_device": device, "data.image_size": size})
    assert train_source(data, config).decoding.random_crops == RandomCrops(5, (0.2, 0.8), (0.75, 4 / 3))
    assert val_source(data, config).decoding.random_crops is None
    assert train_source(data, with_values(config, {"data.random_crop_min_area": 0.0})).decoding.random_crops is None


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("data.random_crop_max_area", 0.1, "data.random_crop_min_area=0.2 is more than data.random_crop_max_area=0.1"),
        ("data.random_crop_min_ratio", 2.0, "data.random_crop_min_ratio=2 is more than data.random_crop_max_ratio=1.3"),
    ],
)
def test_ranges_that_are_empty_are_refused_before_the_start(dataset_folder, key, value, message):
    config = with_values(Config(), {**SETTINGS, key: value, "model.name": "test_resnet"})
    with pytest.raises(TrainError, match=message):
        resolved(config, open_dataset(str(dataset_folder)), Ranks(torch.device("cpu")))

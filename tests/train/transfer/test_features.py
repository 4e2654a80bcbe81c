"""Features of a split: in one block of memory, of the images that decode, on the device where they fit."""

from dataclasses import replace

import pytest
import torch
from small_dataset import write_dataset

from in21k.train.config.settings import Config, DataConfig, ModelConfig, RunConfig
from in21k.train.data.prepared.dataset import open_dataset
from in21k.train.device.ranks import Ranks
from in21k.train.errors import TrainError
from in21k.train.model.level_order import level_order
from in21k.train.model.network import build_network
from in21k.train.transfer import features
from in21k.train.transfer.features import FeatureRows, extract, place_for

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)
CONFIG = Config(data=DataConfig(image_size=32, eval_batch_size=8, max_skipped=1), run=RunConfig(workers=0))


def test_batches_fill_one_block_of_memory():
    rows = FeatureRows(7, CPU, room=0)
    batches = torch.arange(12.0).reshape(4, 3).split(2)
    for number, batch in enumerate(batches):
        rows.add(batch.bfloat16(), torch.full((2,), number))
    found = rows.features(skipped=3)
    assert torch.equal(found.values, torch.cat(batches))
    assert (found.values.dtype, found.label_ids.tolist()) == (torch.float32, [0, 0, 1, 1])
    assert found.values.untyped_storage().nbytes() == 7 * 3 * 4


@pytest.mark.parametrize(("free", "device"), [(1 << 20, "cuda"), ((1 << 20) - 1, "cpu")])
def test_features_stay_on_a_gpu_where_they_leave_enough_room(monkeypatch, free, device):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (free, 1 << 40))
    assert place_for((1 << 8, 1 << 9), GPU, room=1 << 19).type == device


def test_features_that_fit_into_no_memory_are_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (1 << 20, 1 << 40))
    monkeypatch.setattr(features, "available_memory", lambda: 1 << 30)
    for device in (CPU, GPU):
        with pytest.raises(
            TrainError, match=r"2,048 features of 131,073 images take 1\.1 GB, more than this machine's"
        ):
            place_for((131_073, 2048), device, room=0)


def extracted(folder, device=CPU):
    data = open_dataset(folder)
    torch.manual_seed(0)
    network = build_network(ModelConfig("test_resnet"), level_order(data.hierarchy), 32)
    network.module.to(device)
    return extract(network, data, "train", CONFIG, Ranks(device)), network


def test_only_images_that_decode_have_features(tmp_path):
    """Their features are those that a pass of their own gives, in order."""
    broken = {0, 3, 11, 12, 25}

    def spoil(split, number, sample):
        return replace(sample, image=b"no image") if split == "train" and number in broken else sample

    found, _ = extracted(write_dataset(tmp_path / "broken", train=(15, 12), val=(), replace=spoil))
    whole, _ = extracted(write_dataset(tmp_path / "whole", train=(15, 12), val=()))
    good = [number for number in range(27) if number not in broken]
    assert (len(whole.values), found.skipped, whole.skipped) == (27, 5, 0)
    torch.testing.assert_close(found.values, whole.values[good])
    assert torch.equal(found.label_ids, whole.label_ids[good])
    assert len(found.values.unique(dim=0)) == 22


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_features_of_a_gpu_stay_there_and_are_those_of_the_cpu(dataset_folder):
    on_gpu, on_cpu = (extracted(dataset_folder, device)[0] for device in (GPU, CPU))
    assert on_gpu.values.device == on_gpu.label_ids.device == GPU
    assert torch.equal(on_gpu.label_ids.cpu(), on_cpu.label_ids)
    torch.testing.assert_close(on_gpu.values.cpu(), on_cpu.values, rtol=0.05, atol=0.05)  # bfloat16

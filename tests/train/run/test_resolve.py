"""What settings stand for: resolved in one place, for a run, a probe and an evaluation alike."""

import torch

from in21k.train.config.overrides import with_values
from in21k.train.config.settings import Config, RunConfig
from in21k.train.data.open_datasets.videos import open_video_folder
from in21k.train.data.prepared.dataset import open_dataset
from in21k.train.device.ranks import Ranks
from in21k.train.run.resolve import resolved, with_workers
from in21k.train.stream import worker_count
from in21k.train.stream.worker_count import default_workers

ALONE = Ranks(torch.device("cpu"))


def test_minus_one_workers_are_as_many_as_suit_the_cpus():
    shared = Ranks(torch.device("cpu"), rank=0, world_size=4, local_world_size=4)
    assert with_workers(RunConfig(workers=-1), ALONE, 64, 32).workers == default_workers(1, 64 * 32 * 32 * 3)
    assert with_workers(RunConfig(workers=-1), shared, 64, 32).workers == default_workers(4, 64 * 32 * 32 * 3)
    assert with_workers(RunConfig(workers=5), shared, 64, 32).workers == 5
    assert with_workers(RunConfig(workers=0), ALONE, 64, 32).workers == 0


def test_a_resolved_configuration_names_what_is_computed(dataset_folder):
    config = with_values(Config(), {"model.name": "TResNet-M", "run.workers": -1, "data.image_size": 0})
    found = resolved(config, open_dataset(str(dataset_folder)), ALONE)
    assert (found.model.name, found.model.inputs) == ("tresnet_m", "unit")
    assert (found.data.image_size, found.run.workers) == (32, default_workers(1, 256 * 32 * 32 * 3))
    assert resolved(found, open_dataset(str(dataset_folder)), ALONE) == found


def test_the_largest_batch_counts_for_the_workers_and_that_may_be_one_of_validation(tmp_path, monkeypatch):
    monkeypatch.setattr(worker_count, "available_cpus", lambda: 65)
    monkeypatch.setattr(worker_count, "available_memory", lambda: 1 << 30)
    for name in ("train/a/1.mp4", "val/a/1.mp4"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(b"video")
    values = {"video.frames": 4, "video.clips": 10, "data.batch_size": 8, "data.eval_batch_size": 16}
    config = with_values(Config(), values | {"loss.scheme": "single-label", "data.image_size": 32, "run.workers": -1})
    found = resolved(config, open_video_folder(tmp_path), ALONE).run.workers
    assert found == default_workers(1, 16 * 10 * 4 * 32 * 32 * 3) < default_workers(1, 8 * 4 * 32 * 32 * 3)

"""Tests on a CUDA device: copies that overlap computations, steps that wait for nothing, whole runs."""

import csv
from contextlib import contextmanager

import pytest
import torch
from train_runs import summary_of, train_losses

from in21k.train.config.overrides import with_values
from in21k.train.data.prepared.dataset import open_dataset
from in21k.train.device.ranks import Ranks
from in21k.train.evaluation.scores import evaluate, trained_model
from in21k.train.images.augment_draws import Augmentation
from in21k.train.images.augment_gpu import augment_batch
from in21k.train.recipes import read_recipe
from in21k.train.run.folder import Start
from in21k.train.run.resolve import resolved
from in21k.train.stream.buffers import BatchRing, RingShape, page_locked
from in21k.train.stream.loader import open_stream
from in21k.train.stream.prefetch import on_device
from in21k.train.stream.source import train_source
from in21k.train.trainer.build import open_session
from in21k.train.trainer.loop import pretrain

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]

SETTINGS = {
    "model.name": "test_resnet",
    "data.image_size": 32,
    "data.batch_size": 12,
    "optim.epochs": 2,
    "run.device": "cuda",
    "run.workers": 2,
    "run.log_steps": 1,
    "run.checkpoint_steps": 3,
}
CASES = [
    {"run.amp_dtype": "bfloat16"},
    {"run.amp_dtype": "float16", "optim.clip_norm": 1.0},
    {"run.amp": False, "model.inputs": "timm"},
    {"data.augment_device": "gpu", "optim.accumulate": 2},
    {"model.channels_last": True, "optim.name": "sgd", "optim.lr": 0.01, "optim.ema_decay": 0.9},
]


def config_of(**values):
    return with_values(
        read_recipe("semantic-softmax"), {**SETTINGS, **{k.replace("__", "."): v for k, v in values.items()}}
    )


@contextmanager
def nothing_waits():
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("values", CASES, ids=lambda values: "-".join(values))
def test_no_step_waits_for_the_gpu(dataset_folder, values):
    data, device = open_dataset(str(dataset_folder)), torch.device("cuda", 0)
    config = resolved(with_values(config_of(), values), data, Ranks(device))
    session = open_session(config, data, Ranks(device), Start(None, None))
    source = train_source(data, config)
    batches = list(on_device(open_stream(source, session.plan, workers=2, pin_memory=True), device))
    session.train_module.train()
    session.train_step(batches[0], 0)  # the first one chooses kernels
    with nothing_waits():
        results = [session.train_step(batch, step) for step, batch in enumerate(batches[1:], 1)]
    assert all(result.loss.isfinite() for result in results)


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_arrive_as_they_were(dataset_folder, workers):
    data, device = open_dataset(str(dataset_folder)), torch.device("cuda", 0)
    config = resolved(config_of(), data, Ranks(device))
    plan = open_session(config, data, Ranks(device), Start(None, None)).plan
    source = train_source(data, config)
    expected = [
        (each.images.clone(), each.labels.class_indices, each.labels.valid) for each in open_stream(source, plan)
    ]
    found = []
    for batch in on_device(open_stream(source, plan, workers=workers, pin_memory=True), device):
        assert batch.images.is_contiguous(memory_format=torch.channels_last)
        torch.cuda._sleep(20_000_000)  # the copies of later batches run meanwhile, and are not to touch this one
        found.append(tuple(tensor.cpu() for tensor in batch.tensors()))
    assert len(found) == len(expected) == plan.total_steps
    for one, other in zip(expected, found, strict=True):
        assert all(map(torch.equal, one, other))


def test_where_memory_cannot_be_locked_the_gpu_still_computes():
    ring = BatchRing(RingShape(1, 2, (4, 8, 8, 3)))
    with page_locked(ring), page_locked(ring):  # the second time CUDA refuses
        assert torch.arange(4, device="cuda").sum().item() == 6


def test_the_gpu_augments_as_the_cpu_does():
    images = torch.randint(256, (64, 3, 48, 48), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    augmentation = Augmentation(1, 0.5, 2, 9)
    expected = augment_batch(images, augmentation, 3, 1000)
    gap = (augment_batch(images.cuda(), augmentation, 3, 1000).cpu().int() - expected.int()).abs()
    assert (gap > 2).float().mean() < 0.001  # floats are rounded differently, and a second operation may stretch that


@pytest.mark.parametrize("values", CASES, ids=lambda values: "-".join(values))
def test_a_run_on_a_gpu_resumes_and_evaluates_as_it_ended(dataset_folder, tmp_path, values):
    config = with_values(config_of(), values)
    summary = pretrain(str(dataset_folder), tmp_path / "run", config, progress=False)
    assert summary["device"] == "cuda"
    assert summary["steps"] == len(train_losses(tmp_path / "run")) == 14
    rows = list(csv.DictReader((tmp_path / "run" / "metrics.csv").open()))
    assert all(float(row["gpu_memory_mb"]) > 0 for row in rows if row["split"] == "train")
    evaluation = evaluate(str(dataset_folder), trained_model(tmp_path / "run"), config.data, config.run)
    assert evaluation["val_semantic_top1"] == pytest.approx(summary["val_semantic_top1"], abs=0.05)
    (tmp_path / "run" / "summary.json").unlink()
    for later in sorted((tmp_path / "run" / "checkpoints").glob("step-*"))[1:]:
        for file in sorted(later.rglob("*"), reverse=True):
            file.unlink()
        later.rmdir()
    pretrain(str(dataset_folder), tmp_path / "run", config, resume=True, progress=False)
    assert 0 < summary_of(tmp_path / "run")["resumed_at_step"] < 14

"""Tests on a CUDA device: copies that overlap computations, steps that wait for nothing, whole runs."""

import csv
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
from hierarchies import batch_of, published_hierarchy
from train_runs import run_train, summary_of, train_losses

from in21k.train.config.overrides import with_values
from in21k.train.config.settings import ModelConfig, OptimConfig
from in21k.train.data.prepared.dataset import open_dataset
from in21k.train.device.ranks import Ranks
from in21k.train.errors import TrainError
from in21k.train.evaluation.scores import evaluate, trained_model
from in21k.train.images import ops_gpu
from in21k.train.images.augment_draws import Augmentation
from in21k.train.images.augment_gpu import augment_batch
from in21k.train.images.mixing import Mixing, draw_mixing, mix_batch
from in21k.train.losses.semantic_softmax import SemanticSoftmaxLoss
from in21k.train.model.level_order import flat_order, level_order
from in21k.train.model.network import build_network
from in21k.train.model.on_device import prepare_network
from in21k.train.recipes import read_recipe
from in21k.train.run.folder import Start
from in21k.train.run.resolve import resolved
from in21k.train.stream.buffers import BatchRing, RingShape, page_locked
from in21k.train.stream.loader import open_stream
from in21k.train.stream.prefetch import on_device
from in21k.train.stream.source import train_source
from in21k.train.trainer.build import open_session
from in21k.train.trainer.loop import pretrain
from in21k.train.trainer.optimizer import build_optimizer
from in21k.train.trainer.throughput import throughput

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]

SETTINGS = {
    "model.name": "test_resnet",
    "model.start": "random",
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
    {"model.channels_last": False, "run.amp_dtype": "float16", "optim.name": "sgd", "optim.lr": 0.01},
    {"data.pinned_bytes": "1B"},
    {"data.augment_device": "gpu", "data.random_erasing": 0.5, "data.mixup": 0.4, "data.cutmix": 1.0},
]
SEVERAL = pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices")


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
    batches = list(on_device(open_stream(source, session.plan, workers=2, pinned_bytes=2**30), device))
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
    for batch in on_device(open_stream(source, plan, workers=workers, pinned_bytes=2**30), device):
        assert batch.images.is_contiguous(memory_format=torch.channels_last)
        torch.cuda._sleep(20_000_000)  # the copies of later batches run meanwhile, and are not to touch this one
        found.append(tuple(tensor.cpu() for tensor in batch.tensors()))
    assert len(found) == len(expected) == plan.total_steps
    for one, other in zip(expected, found, strict=True):
        assert all(map(torch.equal, one, other))


def test_where_memory_cannot_be_locked_the_gpu_still_computes():
    ring = BatchRing(RingShape(1, 2, (4, 8, 8, 3)))
    with page_locked(ring, 2**30), page_locked(ring, 2**30):  # the second time CUDA refuses
        assert torch.arange(4, device="cuda").sum().item() == 6


def test_the_gpu_augments_as_the_cpu_does():
    images = torch.randint(256, (64, 3, 48, 48), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    augmentation = Augmentation(1, 0.5, 2, 9)
    expected = augment_batch(images, augmentation, 3, 1000)
    gap = (augment_batch(images.cuda(), augmentation, 3, 1000).cpu().int() - expected.int()).abs()
    assert (gap > 2).float().mean() < 0.001  # floats are rounded differently, and a second operation may stretch that


def test_the_gpu_erases_and_mixes_exactly_as_the_cpu_does():
    images = torch.randint(256, (96, 3, 48, 40), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    valid, erasing = torch.arange(96) % 7 > 0, Augmentation(1, 0.0, 0, 9, erasing=0.9)
    draws = draw_mixing(Mixing(1, 0.4, 1.0, probability=0.9), 3, 1000, 96)
    erased = augment_batch(images, erasing, 3, 1000)
    assert torch.equal(augment_batch(images.cuda(), erasing, 3, 1000).cpu(), erased)
    for ours, expected in zip(
        mix_batch(images.cuda(), valid.cuda(), draws), mix_batch(images, valid, draws), strict=True
    ):
        assert torch.equal(ours.cpu(), expected)


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


def test_the_first_float16_step_of_fused_sgd_may_overflow():
    parameter = torch.nn.Parameter(torch.ones(1000, device="cuda"))
    network = prepare_network(
        build_network(ModelConfig("test_resnet"), flat_order(10), 32), Ranks(torch.device("cuda", 0))
    )
    optimizer = build_optimizer(network, OptimConfig(name="sgd", lr=0.1), fused=True)
    scaler = torch.amp.GradScaler("cuda")
    scaler.scale(parameter.sum())
    before = {name: each.detach().clone() for name, each in network.module.named_parameters()}
    for value in (torch.inf, 0.0):
        for each in network.module.parameters():
            each.grad = torch.full_like(each, value)
        scaler.unscale_(optimizer)
        scaler.step(optimizer)
        scaler.update()
    decayed = {name: each * (1 if each.ndim < 2 else 1 - 0.1 * 1e-4) for name, each in before.items()}
    torch.testing.assert_close(dict(network.module.named_parameters()), decayed, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_the_gradient_of_semantic_softmax_is_float32s(dtype):
    loss = SemanticSoftmaxLoss(level_order(published_hierarchy()), 0.2).cuda()
    half, labels, valid = (tensor.cuda() for tensor in batch_of(published_hierarchy(), 64, 0, dtype))
    half = half.detach()
    wide = half.float()
    for logits in (half, wide):
        (loss(logits.requires_grad_(), labels, valid) * 2.0**16).backward()
    rtol = 1e-3 if dtype == torch.float16 else 1e-2
    torch.testing.assert_close(half.grad.float(), wide.grad, rtol=rtol, atol=2.0**-24)


def test_scores_on_a_gpu_are_those_of_the_cpu(dataset_folder, tmp_path):
    config = config_of(optim__epochs=1)
    pretrain(str(dataset_folder), tmp_path / "run", config, progress=False)
    found = {
        device: evaluate(
            str(dataset_folder), trained_model(tmp_path / "run"), config.data, replace(config.run, device=device)
        )
        for device in ("cpu", "cuda")
    }
    assert found["cuda"]["val_loss"] == pytest.approx(found["cpu"]["val_loss"], rel=1e-2)
    assert found["cuda"]["val_semantic_top1"] == pytest.approx(found["cpu"]["val_semantic_top1"], abs=0.06)


def test_a_deterministic_run_is_refused_before_it_starts_where_the_model_cannot(dataset_folder, tmp_path):
    config = config_of(model__name="tresnet_m", run__deterministic=True)
    try:
        with pytest.raises(TrainError, match=r"tresnet_m pads by reflection"):
            pretrain(str(dataset_folder), tmp_path / "run", config, progress=False)
    finally:
        torch.use_deterministic_algorithms(False)
    assert not (tmp_path / "run" / "config.json").exists()


def test_augmentation_waits_for_nothing_even_where_it_meets_an_operation_first():
    images = torch.zeros(64, 3, 48, 48, dtype=torch.uint8, device="cuda")
    augment_batch(images, Augmentation(1, 0.5, 2, 9), 0, 0)  # its kernels are loaded
    ops_gpu.sources.cache_clear()
    with nothing_waits():
        augment_batch(images, Augmentation(1, 0.5, 2, 9), 0, 0)


def test_throughput_is_measured_on_a_gpu(dataset_folder):
    found = throughput(str(dataset_folder), config_of(data__image_size=32), steps=4)
    assert found["device"].startswith("cuda")
    assert min(found["step_images_per_second"], found["loader_images_per_second"], found["images_per_second"]) > 0
    assert 0 <= found["data_wait"] <= 1
    assert found["gpu_memory_bytes"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=SEVERAL)])
@pytest.mark.parametrize("setting", ["model.sync_bn=true", "model.grad_checkpointing=true", "optim.accumulate=2"])
def test_a_compiled_run_has_the_losses_of_a_plain_one(dataset_folder, tmp_path, setting, processes):
    settings = [f"{key}={value}" for key, value in SETTINGS.items() if key != "model.name"]
    options = ["--model", "test_resnet", *(word for each in (*settings, setting) for word in ("--set", each))]
    for name, more in (("plain", []), ("compiled", ["--compile"])):
        arguments = ["pretrain", dataset_folder, "--output", tmp_path / name, *options, *more]
        done = run_train(*arguments, processes=processes, timeout=900)
        assert done.returncode == 0, done.stderr
    assert train_losses(tmp_path / "compiled") == pytest.approx(train_losses(tmp_path / "plain"), rel=0.02)

"""Streams over a small dataset, and when two of them are equal."""

from dataclasses import replace
from pathlib import Path

import pyarrow.fs as pafs
import torch

from in21k.shards_manifest.storage.location import Location
from in21k.train.data.partition import EvalPlan, TrainPlan
from in21k.train.data.prepared.dataset import open_dataset
from in21k.train.images.augment_draws import RANDOM, Augmentation
from in21k.train.stream.loader import open_stream
from in21k.train.stream.source import StreamSource

AUGMENTATION = Augmentation(3, 0.5, 2, 9, policy=RANDOM, flip=0.5)


def source_of(folder: Path, split="train", size=32, augmentation=None) -> StreamSource:
    data = open_dataset(folder)
    return StreamSource(data.reader(split), data.decoding(size), augmentation)


def decoding_with(source: StreamSource, **changes) -> StreamSource:
    """The source with another decoding."""
    return replace(source, decoding=replace(source.decoding, **changes))


def train_plan(source: StreamSource, epochs=1, batch=8, rank=0, world=1, **options) -> TrainPlan:
    lengths = tuple(shard.samples for shard in source.open_reader.manifest.splits["train"])
    return TrainPlan(lengths, seed=5, epochs=epochs, global_batch=batch, rank=rank, world_size=world, **options)


def stream(source: StreamSource, batch=8, epochs=1, rank=0, world=1, **options):
    if source.open_reader.split == "val":
        plan = EvalPlan(source.open_reader.manifest.samples("val"), batch, rank, world)
    else:
        plan = train_plan(source, epochs, batch, rank, world)
    return list(open_stream(source, plan, **options))


def equal(left, right):
    return len(left) == len(right) and all(
        torch.equal(a, b)
        for one, other in zip(left, right, strict=True)
        for a, b in zip(one.tensors(), other.tensors(), strict=True)
    )


def remote_source(folder: Path):
    """The source of a dataset on a file system that does not count as local."""
    source = source_of(folder)
    far = Location(pafs.SubTreeFileSystem(str(folder), pafs.LocalFileSystem()), "", f"far://{folder}")
    return replace(source, open_reader=replace(source.open_reader, location=far))

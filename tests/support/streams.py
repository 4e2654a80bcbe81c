"""Streams over a small dataset, and when two of them are equal."""

from dataclasses import replace
from pathlib import Path

import pyarrow.fs as pafs
import torch

from in21k.shards_manifest.storage.location import Location
from in21k.train.data.interfaces import ReadOptions
from in21k.train.data.partition import EvalPlan, TrainPlan
from in21k.train.data.prepared.dataset import open_dataset
from in21k.train.images.augment_draws import Augmentation
from in21k.train.stream.loader import open_stream
from in21k.train.stream.source import Source

AUGMENTATION = Augmentation(3, 0.5, 2, 9)


def source_of(folder: Path, split="train", size=32, augmentation=None) -> Source:
    data = open_dataset(folder)
    return Source(data.reader(split, ReadOptions()), size, augmentation, data.crops)


def stream(source: Source, batch=8, epochs=1, rank=0, world=1, **options):
    if source.open_reader.split == "val":
        plan = EvalPlan(source.open_reader.manifest.samples("val"), batch, rank, world)
    else:
        lengths = tuple(shard.samples for shard in source.open_reader.manifest.splits["train"])
        plan = TrainPlan(lengths, 5, epochs, batch, rank, world)
    return list(open_stream(source, plan, **options))


def equal(left, right):
    return len(left) == len(right) and all(
        torch.equal(a.images, b.images)
        and torch.equal(a.class_indices, b.class_indices)
        and torch.equal(a.valid, b.valid)
        for a, b in zip(left, right, strict=True)
    )


def remote_source(folder: Path):
    """The source of a dataset on a file system that is not seen as local."""
    source = source_of(folder)
    far = Location(pafs.SubTreeFileSystem(str(folder), pafs.LocalFileSystem()), "", f"far://{folder}")
    return replace(source, open_reader=replace(source.open_reader, location=far))

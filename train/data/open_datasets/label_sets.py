"""Datasets whose images have any number of classes each: one table of label sets for both splits."""

from collections.abc import Sequence

import numpy as np

from in21k.train.arrays import IntArray
from in21k.train.data.open_datasets.listed import ImageStore, ListedDataset, ListedSplit


def multi_label_dataset(
    name: str,
    classes: Sequence[str],
    keys: dict[str, Sequence[str]],
    sets: dict[str, Sequence[Sequence[int]]],
    stores: dict[str, ImageStore],
    title: str,
) -> ListedDataset:
    """Return a dataset in which each image has a set of classes, which may be empty.

    Args:
        name: what messages call it.
        classes: C names.
        keys: of the images, by split.
        sets: class indices of each image, by split, in the order of the keys.
        stores: of the images, by split.
        title: where the classes come from.
    """
    table = label_table([*sets["train"], *sets["val"]])
    first = {"train": 0, "val": len(sets["train"])}
    splits = {
        split: ListedSplit(keys[split], np.arange(len(keys[split]), dtype=np.int64) + first[split], stores[split])
        for split in ("train", "val")
    }
    return ListedDataset(name=name, classes=classes, splits=splits, label_sets=table, title=title)


def label_table(sets: Sequence[Sequence[int]]) -> IntArray:
    """Return int64 [N, K]: the class indices of N sets, ascending, padded with -1; K is at least 1."""
    table = np.full((len(sets), max([1, *map(len, sets)])), -1, np.int64)
    for row, members in enumerate(sets):
        table[row, : len(members)] = sorted(members)
    return table

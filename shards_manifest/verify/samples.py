"""Checks of labels and splits in the sample table."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from in21k.shards_manifest.manifest import CLASSES, HIERARCHY, SAMPLES, SPLITS, Manifest
from in21k.shards_manifest.verify.subject import Observations, Subject


def repeated_keys(subject: Subject) -> Observations:
    """Yield the samples whose key has appeared before in the same split."""
    for odd in subject.samples.repeated:
        yield odd.shard, f"{odd.key} appears earlier in the split", odd.count


def in_both_splits(subject: Subject) -> Observations:
    """Yield the val samples that are also in train."""
    for odd in subject.samples.in_both:
        yield odd.shard, f"{odd.key} is also in train", odd.count


def labels_without_class(subject: Subject) -> Observations:
    """Yield the samples whose label is not a class index."""
    for odd in subject.samples.no_classes:
        yield odd.shard, f"{odd.key} has a label outside 0 to {len(subject.wnids) - 1}", odd.count


def labels_of_other_classes(subject: Subject) -> Observations:
    """Yield the samples whose key does not begin with the wnid of their class."""
    for odd in subject.samples.misnamed:
        yield odd.shard, f"{odd.key} has the label of another class", odd.count


def val_counts(subject: Subject) -> Observations:
    """Yield the classes with more val samples than asked for, or fewer while they have train samples."""
    manifest = subject.manifest
    wanted: Any = manifest.parameters.get("split", {}).get("val_per_class")
    if not isinstance(wanted, int) or _has_given_split(manifest):
        return
    val, train = subject.samples.images["val"], subject.samples.images["train"]
    for index in np.flatnonzero((val > wanted) | ((val < wanted) & (train > 0))):
        yield SAMPLES, f"{subject.wnids[index]} has {val[index]} val samples, not {wanted}"
    ancestors = int(manifest.counts.get("classes_ancestor", 0)) if wanted else 0  # they have no images of their own
    short = int((val < wanted).sum()) - ancestors
    allowed = int(manifest.counts.get("classes_short_of_val", 0))
    if short != allowed:
        yield SAMPLES, f"{short} classes have fewer than {wanted} val samples, the manifest says {allowed}"


def _has_given_split(manifest: Manifest) -> bool:
    """Return whether the dump brought its own split, which the dataset keeps, or lists gave it one."""
    chosen = manifest.parameters.get("filter", {})
    resplit = chosen.get("resplit", False)
    is_release = manifest.source.get("layout") == "processed-release"
    return bool(manifest.counts.get("images_given_split")) or "val_list" in chosen or (is_release and not resplit)


def counts_in_classes(subject: Subject) -> Observations:
    """Yield the classes whose counts in classes.parquet differ from samples.parquet."""
    yield from _other_counts(subject, subject.classes.filter(subject.classes["kept"]).to_pydict(), CLASSES)


def counts_in_hierarchy(subject: Subject) -> Observations:
    """Yield the classes whose counts in hierarchy.parquet differ from samples.parquet."""
    columns = ["class_index", "wnid", "images_train", "images_val"]
    yield from _other_counts(subject, subject.hierarchy.select(columns).to_pydict(), HIERARCHY)


def _other_counts(subject: Subject, rows: dict[str, list[Any]], name: str) -> Iterator[tuple[str, str]]:
    for index, wnid, *counted in zip(
        *(rows[column] for column in ("class_index", "wnid", "images_train", "images_val")), strict=True
    ):
        found = [int(subject.samples.images[split][index]) for split in SPLITS] if index < len(subject.wnids) else []
        if found != counted:
            yield name, f"{wnid}: {counted} train and val samples, samples.parquet has {found}"

"""Checks of labels and splits, over the sample table."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from in21k.shards_manifest.manifest import CLASSES, HIERARCHY, SAMPLES, SPLITS
from in21k.shards_manifest.verify.subject import Places, Subject


def repeated_keys(subject: Subject) -> Places:
    """Yield the samples whose key comes before in the same split."""
    for shard, key in subject.samples.repeated:
        yield shard, f"{key} comes before in the split"


def in_both_splits(subject: Subject) -> Places:
    """Yield the val samples that are also in train."""
    for shard, key in subject.samples.in_both:
        yield shard, f"{key} is in train too"


def labels_without_class(subject: Subject) -> Places:
    """Yield the samples whose label is no class."""
    for shard, key in subject.samples.no_classes:
        yield shard, f"{key} has a label outside 0 to {len(subject.wnids) - 1}"


def labels_of_other_classes(subject: Subject) -> Places:
    """Yield the samples whose key begins with the wnid of another class."""
    for shard, key in subject.samples.misnamed:
        yield shard, f"{key} has the label of another class"


def val_counts(subject: Subject) -> Places:
    """Yield the classes without exactly N val samples; fewer are right only where no train image is left."""
    manifest = subject.manifest
    wanted: Any = manifest.parameters.get("split", {}).get("val_per_class")
    if not isinstance(wanted, int) or manifest.source.get("layout") == "processed-release":
        return  # the release's own split is kept
    val, train = subject.samples.images["val"], subject.samples.images["train"]
    for index in np.flatnonzero((val > wanted) | ((val < wanted) & (train > 0))):
        yield SAMPLES, f"{subject.wnids[index]} has {val[index]} val samples, not {wanted}"
    short = int((val < wanted).sum())
    allowed = int(manifest.counts.get("classes_short_of_val", 0))
    if short != allowed:
        yield SAMPLES, f"{short} classes have fewer than {wanted} val samples, the manifest says {allowed}"


def counts_in_classes(subject: Subject) -> Places:
    """Yield the classes of which classes.parquet counts other samples than there are."""
    yield from _other_counts(subject, subject.classes.filter(subject.classes["kept"]).to_pydict(), CLASSES)


def counts_in_hierarchy(subject: Subject) -> Places:
    """Yield the classes of which hierarchy.parquet counts other samples than there are."""
    columns = ["class_index", "wnid", "images_train", "images_val"]
    yield from _other_counts(subject, subject.hierarchy.select(columns).to_pydict(), HIERARCHY)


def _other_counts(subject: Subject, rows: dict[str, list[Any]], name: str) -> Iterator[tuple[str, str]]:
    for index, wnid, *counted in zip(
        *(rows[column] for column in ("class_index", "wnid", "images_train", "images_val")), strict=True
    ):
        found = [int(subject.samples.images[split][index]) for split in SPLITS] if index < len(subject.wnids) else []
        if found != counted:
            yield name, f"{wnid}: {counted} train and val samples, samples.parquet has {found}"

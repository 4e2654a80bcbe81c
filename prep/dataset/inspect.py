"""Inspection of a prepared dataset: its totals, one class or one sample; and images extracted from it."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from in21k.prep.errors import PrepError
from in21k.prep.near_classes import Words, hint_among
from in21k.prep.records import DATASET_CLASSES_SCHEMA
from in21k.shards_manifest.key_search import find_sample
from in21k.shards_manifest.manifest import CLASSES, HIERARCHY, SPLITS, Manifest, read_manifest
from in21k.shards_manifest.parquet_table import read_columns
from in21k.shards_manifest.sample_table import SampleTable
from in21k.shards_manifest.storage.local_files import make_folder, write_atomic
from in21k.shards_manifest.storage.location import Location
from in21k.shards_manifest.tar import BLOCK, padded
from in21k.tree.glosses import glosses_of
from in21k.tree.table import SCHEMA
from in21k.tree.words import ClassWords, candidates, classes_called

_HIERARCHY = pa.schema(
    [
        SCHEMA.field(name)
        for name in (
            "class_index",
            "wnid",
            "name",
            "lemmas",
            "gloss",
            "path_names",
            "level",
            "children",
            "images_train",
            "images_val",
            "images_subtree",
        )
    ]
)
"""The columns of the hierarchy table that are shown."""


@dataclass(frozen=True)
class StoredSample:
    """A sample of a dataset, and where it is stored."""

    key: str
    split: str
    shard: str
    """The shard's path, relative to the dataset."""
    class_index: int
    offset: int
    """Where the image's bytes begin in the shard."""
    image_bytes: int
    """The length of the image in bytes."""


@dataclass(frozen=True)
class ClassFacts:
    """A class of a dataset, with some of its samples."""

    class_index: int
    wnid: str
    lemmas: tuple[str, ...]
    gloss: str | None
    """What it is, in WordNet's words; None where the taxonomy does not say."""
    path: str
    """Names from the root down: `animal > domestic animal > dog`."""
    level: int
    children: tuple[str, ...]
    """Names of the classes directly below."""
    images_train: int
    images_val: int
    images_subtree: int
    """Images of the class and of all its descendants."""
    samples: tuple[StoredSample, ...]


@dataclass(frozen=True)
class SampleFacts:
    """A sample with its class and its bytes."""

    sample: StoredSample
    wnid: str
    path: str
    """Names from the root down."""
    label: str
    """The content of its `.cls` member."""
    image: bytes
    sha256: str
    """Of the image."""


def inspect_dataset(dataset: Location) -> dict[str, Any]:
    """Return facts about a dataset, by name.

    Raises:
        DatasetError: there is no dataset, or it is damaged.
    """
    manifest = read_manifest(dataset)
    images = manifest.images
    facts: dict[str, Any] = {"dataset": dataset.text, "source": manifest.source.get("name", ""), **manifest.counts}
    for split in SPLITS:
        shards = manifest.splits[split]
        facts[f"{split}_shards"] = len(shards)
        facts[f"{split}_bytes"] = sum(shard.bytes for shard in shards)
    facts |= {"image_size": images.size, "image_mode": images.mode.value, "image_format": images.format.value}
    facts |= {"image_quality": images.quality}
    return facts | {"made_by": dict(manifest.versions)}


def inspect_class(dataset: Location, named: str, limit: int) -> ClassFacts:
    """Return a class and its first samples in shuffled order, val before train.

    Args:
        dataset: the dataset's folder or prefix.
        named: a wnid, a class index, or a name such as `dog`.
        limit: number of samples.

    Raises:
        PrepError: no class has this name, or several have.
        DatasetError: there is no dataset, or it is damaged.
    """
    manifest = read_manifest(dataset)
    hierarchy = read_columns(dataset / HIERARCHY, _HIERARCHY)
    position = _class_index(dataset, hierarchy, named)  # a damaged table may name another one in its row
    row = _class_row(dataset, hierarchy, position)
    names = hierarchy["name"].to_pylist()
    return ClassFacts(
        class_index=row["class_index"],
        wnid=row["wnid"],
        lemmas=tuple(row["lemmas"]),
        gloss=glosses_of(hierarchy.slice(position, 1))[0],
        path=row["path_names"],
        level=row["level"],
        children=tuple(names[child] for child in row["children"]),
        images_train=row["images_train"],
        images_val=row["images_val"],
        images_subtree=row["images_subtree"],
        samples=tuple(_samples_of_class(dataset, manifest, row["class_index"], limit)),
    )


def inspect_sample(dataset: Location, key: str) -> SampleFacts:
    """Return a sample with its bytes.

    Raises:
        PrepError: no sample has this key.
        DatasetError: there is no dataset, or it is damaged.
    """
    manifest = read_manifest(dataset)
    table = SampleTable(dataset, manifest)
    found = find_sample(table, manifest, key)
    if found is None:
        raise PrepError(f"{dataset.text}: no sample has the key {key!r}; keys are image names such as n02084071_1234")
    rows = table.rows(found.split, found.shard).slice(found.row, 1)
    sample = next(_samples(manifest, rows, found.split, found.shard))
    row = _class_row(dataset, read_columns(dataset / HIERARCHY, _HIERARCHY), sample.class_index)
    image, label = _members(dataset, sample)
    digest = hashlib.sha256(image).hexdigest()
    return SampleFacts(sample=sample, wnid=row["wnid"], path=row["path_names"], label=label, image=image, sha256=digest)


def save_images(dataset: Location, samples: tuple[StoredSample, ...], folder: Path) -> list[Path]:
    """Write the images of samples to a local folder, named after their keys, and return their paths.

    Raises:
        PrepError: a key is not a file's name.
        DatasetError: a shard cannot be read, or the folder cannot be written to.
    """
    suffix = read_manifest(dataset).images.suffix
    make_folder(folder)
    paths = [folder / f"{sample.key}{suffix}" for sample in samples]
    for sample, path in zip(samples, paths, strict=True):
        if path.parent != folder:
            raise PrepError(f"the key {sample.key!r} leads out of {folder}; run `in21k-prep verify` for details")
        write_atomic(path, _members(dataset, sample)[0])
    return paths


def _class_index(dataset: Location, hierarchy: pa.Table, named: str) -> int:
    """Return the index of the only class with this wnid, class index, name or lemma."""
    wnids: list[str] = hierarchy["wnid"].to_pylist()
    if named in wnids:
        return wnids.index(named)
    if named.isdecimal() and int(named) < len(wnids):
        return int(named)
    words = ClassWords(hierarchy["name"].to_pylist(), hierarchy["lemmas"].to_pylist(), glosses_of(hierarchy))
    found = classes_called(named, wnids, words)
    if len(found) == 1:
        return found[0]
    if found:
        raise PrepError(f"{named!r} names {len(found)} classes: {candidates(found, wnids, words)}; give the wnid")
    raise PrepError(f"{dataset.text}: {_why_no_class(dataset, named, dict(zip(wnids, words.lemmas, strict=True)))}")


def _class_row(dataset: Location, hierarchy: pa.Table, class_index: int) -> dict[str, Any]:
    """Return a class's row of the hierarchy table; its children are classes, too.

    Raises:
        PrepError: there is no such class, or a child is none.
    """
    classes = range(len(hierarchy))
    rows: list[dict[str, Any]] = hierarchy.slice(class_index, 1).to_pylist() if class_index in classes else []
    if not rows or not all(child in classes for child in rows[0]["children"]):
        raise PrepError(
            f"{dataset.text}: the tables name a class index outside 0 to {len(hierarchy) - 1}; "
            "run `in21k-prep verify` for details"
        )
    return rows[0]


def _why_no_class(dataset: Location, named: str, words: Words) -> str:
    """Return in words whether a class was dropped or is unknown."""
    classes = read_columns(dataset / CLASSES, DATASET_CLASSES_SCHEMA)
    dropped = classes.filter(pc.or_(pc.equal(classes["wnid"], named), pc.equal(classes["name"], named))).to_pylist()
    if dropped:
        row = dropped[0]
        return f"{row['wnid']} ({row['name']}) was dropped: {row['reason']}, {row['images']} images"
    hint = hint_among(named, words, "give a wnid, a class index, or a name from classes.txt")
    return f"no class is named {named!r}; {hint}"


def _samples_of_class(dataset: Location, manifest: Manifest, class_index: int, limit: int) -> Iterator[StoredSample]:
    table = SampleTable(dataset, manifest)
    for split, number in sorted(_shards(manifest), key=lambda shard: shard[0] == "train"):
        if limit <= 0:
            return
        rows = table.rows(split, number)
        chosen = rows.filter(pc.equal(rows["class_index"], class_index)).slice(0, limit)
        limit -= len(chosen)
        yield from _samples(manifest, chosen, split, number)


def _samples(manifest: Manifest, rows: pa.Table, split: str, number: int) -> Iterator[StoredSample]:
    path = manifest.splits[split][number].path
    for row in rows.to_pylist():
        yield StoredSample(
            key=row["key"],
            split=split,
            shard=path,
            class_index=row["class_index"],
            offset=row["offset"] + BLOCK,
            image_bytes=row["image_bytes"],
        )


def _members(dataset: Location, sample: StoredSample) -> tuple[bytes, str]:
    """Return the image and the label of a sample."""
    location = dataset / sample.shard
    reader = location.open_ranges()
    try:
        content = reader.read(sample.offset, padded(sample.image_bytes) + 2 * BLOCK)
    finally:
        reader.close()
    if len(content) < padded(sample.image_bytes) + 2 * BLOCK:
        raise PrepError(f"{location.text} ends before the sample {sample.key}; run `in21k-prep verify` for details")
    label = content[padded(sample.image_bytes) + BLOCK :].rstrip(b"\0")
    return content[: sample.image_bytes], label.decode("ascii", "backslashreplace")


def _shards(manifest: Manifest) -> list[tuple[str, int]]:
    return [(split, number) for split in SPLITS for number in range(len(manifest.splits[split]))]

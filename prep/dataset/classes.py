"""The classes of a dump, a work folder, a dataset or a published list: images, levels, and why some are dropped."""

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from in21k.prep.errors import PrepError
from in21k.prep.near_classes import hint_among, list_hint
from in21k.prep.raw.choices import AS_GIVEN, SourceChoices
from in21k.prep.raw.open import open_raw
from in21k.prep.records import DATASET_CLASSES_SCHEMA, Kept
from in21k.prep.stages.class_rows import read_class_rows
from in21k.prep.stages.labels import class_labels, work_taxonomy
from in21k.prep.stages.record import required
from in21k.shards_manifest.command.nearest import nearest
from in21k.shards_manifest.manifest import CLASSES, HIERARCHY, MANIFEST, read_manifest
from in21k.shards_manifest.parquet_table import read_columns
from in21k.shards_manifest.storage.location import Location, locate
from in21k.tree.class_lists import PublishedList, published_class_list
from in21k.tree.hierarchy import build_hierarchy
from in21k.tree.subtree import Parents, in_subtrees
from in21k.tree.table import ANY_SCHEMA
from in21k.tree.taxonomy import Taxonomy, TaxonomyKind, WordNet
from in21k.tree.wordnet import WORDNET_SOURCE

_SOURCE = b"in21k.source"


@dataclass(frozen=True, slots=True)
class ClassRow:
    """A class."""

    wnid: str
    """Its label, a wnid where the taxonomy is WordNet."""
    name: str
    """Its first lemma; empty for a class that the taxonomy does not know."""
    images: int | None
    """The number of its raw images; None where only a list is known."""
    level: int | None
    """Its level among the classes that are kept, or in a dump or list among all; None for one that is dropped."""
    reason: str
    """`kept`, or why it is dropped; empty where nothing has been decided yet."""
    gloss: str = ""
    """What it is, in WordNet's words; empty where the taxonomy does not say."""

    @property
    def is_kept(self) -> bool:
        """Whether it is kept, or may be."""
        return self.reason in ("", Kept.KEPT.value, Kept.ANCESTOR.value)


def list_classes(
    source: str, taxonomy: Taxonomy, subtree: Sequence[str] = (), choices: SourceChoices = AS_GIVEN
) -> list[ClassRow]:
    """Return the classes of a source, in byte order of label.

    Args:
        source: a raw dump, a work folder in which `filter` was done, a prepared dataset, or a published list's name.
        taxonomy: what the labels of a raw dump are; a work folder and a dataset know theirs.
        subtree: if there are any: only these classes, and what lies below them on any path.
        choices: what is said of a raw dump.

    Raises:
        DatasetError, PrepError: there is no such source, or it is damaged.
        TreeError: a class of the subtree is unknown.
    """
    location = locate(source)
    if source in list(PublishedList):
        rows, parents = _of_labels(dict.fromkeys(published_class_list(PublishedList(source))), WordNet()), None
    elif location.child(MANIFEST).exists():
        rows, parents = _of_dataset(location)
    elif location.child("filter.json").exists():
        rows, parents = _of_work(location)
    elif nearest(source, PublishedList) and not location.exists():
        raise PrepError(f"{source}: there is no such file or folder; {list_hint(source)}")
    else:
        rows, parents = _of_labels(_count(location, taxonomy, choices), taxonomy), taxonomy.parents
    rows.sort(key=lambda row: row.wnid.encode())
    return _below(rows, subtree, parents or WordNet().parents, source)


def write_classes(rows: Sequence[ClassRow], output: Path) -> None:
    """Write classes to a file: all columns to a `.csv`, else a line per class, as `--classes` and `--exclude` read it.

    Raises:
        PrepError: the file exists and holds something else, or a class's label does not fit on a line.
    """
    content = _csv(rows) if output.suffix == ".csv" else _lines(rows)
    place = locate(output)
    if place.exists() and place.read_bytes() != content:
        raise PrepError(f"{output} exists and holds something else; give another --export")
    place.write_bytes(content)


def _csv(rows: Sequence[ClassRow]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([field.name for field in fields(ClassRow)])
    writer.writerows(asdict(row).values() for row in rows)
    return text.getvalue().encode()


def _lines(rows: Sequence[ClassRow]) -> bytes:
    if odd := [row.wnid for row in rows if not row.wnid.isprintable()]:
        raise PrepError(f"{odd[0]!a} does not fit on a line of a list; export to a .csv")
    return "".join(f"{row.wnid}\n" for row in rows).encode()


def _below(rows: list[ClassRow], subtree: Sequence[str], parents: Parents, source: str) -> list[ClassRow]:
    if not subtree:
        return rows
    known = [row.wnid for row in rows if row.reason not in (Kept.UNKNOWN_WNID.value, Kept.UNKNOWN_LABEL.value)]
    inside = set(in_subtrees(known, subtree, parents))
    if not inside:
        hint = hint_among(subtree[0], {row.wnid: [row.name or row.wnid] for row in rows}, "give another one")
        raise PrepError(f"{source}: it has no class at or below {', '.join(subtree)}; {hint}")
    return [row for row in rows if row.wnid in inside]


def _count(raw: Location, taxonomy: Taxonomy, choices: SourceChoices) -> Counter[str]:
    """Return the number of images of each class of a dump."""
    images: Counter[str] = Counter()
    with TemporaryDirectory(prefix="in21k-classes-") as folder:  # for the index of a gzipped dump
        dump = open_raw(raw, locate(folder), class_labels(taxonomy), choices.classes())
        if dump.is_mixed:
            for batch in dump.batches():
                images.update(batch.wnids)
        else:
            for found in dump.classes():
                if found.wnid:
                    images[found.wnid] += len(found.images)
    return images


def _of_labels(images: Mapping[str, int | None], taxonomy: Taxonomy) -> list[ClassRow]:
    """Return the rows of labels of which nothing has been decided."""
    unknown = Kept.UNKNOWN_WNID if taxonomy.kind is TaxonomyKind.WORDNET else Kept.UNKNOWN_LABEL
    known = sorted((label for label in images if label in taxonomy), key=str.encode)
    levels = dict(zip(known, build_hierarchy(known, taxonomy.parent).levels.tolist(), strict=True))
    return [
        _row(taxonomy, label, count, levels.get(label), "" if label in levels else unknown.value)
        for label, count in images.items()
    ]


def _of_work(work: Location) -> tuple[list[ClassRow], Parents]:
    required(work, "filter")
    taxonomy = work_taxonomy(work)
    table: dict[str, Any] = read_class_rows(work).to_pydict()
    kept = [label for label, is_kept in zip(table["wnid"], table["kept"], strict=True) if is_kept]
    levels = dict(zip(kept, build_hierarchy(kept, taxonomy.parent).levels.tolist(), strict=True))
    columns = zip(table["wnid"], table["images"], table["reason"], strict=True)
    rows = [_row(taxonomy, label, images, levels.get(label), reason) for label, images, reason in columns]
    return rows, taxonomy.parents


def _row(taxonomy: Taxonomy, label: str, images: int | None, level: int | None, reason: str) -> ClassRow:
    if label not in taxonomy:
        return ClassRow(label, "", images, level, reason)
    return ClassRow(label, taxonomy.words(label)[0], images, level, reason, taxonomy.gloss(label) or "")


def _of_dataset(dataset: Location) -> tuple[list[ClassRow], Parents]:
    read_manifest(dataset)
    hierarchy = read_columns(dataset / HIERARCHY, ANY_SCHEMA)
    table: dict[str, Any] = hierarchy.select(["wnid", "gloss", "level", "wordnet_parents"]).to_pydict()
    levels = dict(zip(table["wnid"], table["level"], strict=True))
    classes: dict[str, Any] = read_columns(dataset / CLASSES, DATASET_CLASSES_SCHEMA).to_pydict()
    columns = (classes[name] for name in ("wnid", "name", "images", "reason"))
    wordnet = None
    if (hierarchy.schema.metadata or {}).get(_SOURCE, WORDNET_SOURCE.encode()) == WORDNET_SOURCE.encode():
        wordnet = WordNet()
    glosses = dict(zip(table["wnid"], table["gloss"], strict=True))
    rows = [
        ClassRow(label, name or "", images, levels.get(label), reason, _gloss(label, glosses, wordnet))
        for label, name, images, reason in zip(*columns, strict=True)
    ]
    if wordnet:
        return rows, wordnet.parents
    above: dict[str, list[str]] = dict(zip(table["wnid"], table["wordnet_parents"], strict=True))
    return rows, lambda label: above.get(label, ())


def _gloss(label: str, glosses: Mapping[str, str | None], wordnet: WordNet | None) -> str:
    """Return the gloss of a class, empty if there is none; of WordNet's, those that were dropped have one, too."""
    if wordnet is None:
        return glosses.get(label) or ""
    return wordnet.gloss(label) if label in wordnet else ""

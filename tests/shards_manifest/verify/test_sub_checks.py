"""What each check of verify looks at, one thing at a time, told apart by what is said."""

import dataclasses
import re
import shutil
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from damage import change_samples, change_shard, change_table, reseal, write_manifest

from in21k.shards_manifest.manifest import CLASSES, HIERARCHY, MANIFEST, REJECTS, SAMPLES, read_manifest
from in21k.shards_manifest.storage.location import locate
from in21k.shards_manifest.verify import hierarchy as verify_hierarchy
from in21k.shards_manifest.verify.checks import verify
from in21k.shards_manifest.verify.findings import Depth

TRAIN = "train/in21k-train-000000.tar"
INDEX = "train/in21k-train-000000.idx"


def manifest_with(change):
    """Return what writes the manifest with the changes that a function makes of it."""

    def damage(folder):
        manifest = read_manifest(locate(folder))
        write_manifest(folder, dataclasses.replace(manifest, **change(manifest)))

    return damage


def counts(**values):
    return manifest_with(lambda manifest: {"counts": {**manifest.counts, **values}})


def rows_of(name, rows):
    return manifest_with(
        lambda manifest: {"tables": {**manifest.tables, name: dataclasses.replace(manifest.tables[name], rows=rows)}}
    )


def unlisted(name):
    return manifest_with(
        lambda manifest: {"tables": {each: table for each, table in manifest.tables.items() if each != name}}
    )


def val_per_class(number):
    def change(manifest):
        split = {**manifest.parameters["split"], "val_per_class": number}
        return {"parameters": {**manifest.parameters, "split": split}}

    return manifest_with(change)


def column(name, values):
    """Return what sets the first rows of a column, or changes its first one by a function."""

    def change(columns):
        columns[name][: len(values)] = [
            value(columns[name][at]) if callable(value) else value for at, value in enumerate(values)
        ]

    return change


def table(name, *columns):
    def damage(folder):
        for change in columns:
            change_table(folder, name, change)
        reseal(folder)

    return damage


def next_index_if_kept(columns):
    columns["class_index"] = [index + kept for index, kept in zip(columns["class_index"], columns["kept"], strict=True)]


def without_column(name, column):
    def damage(folder):
        pq.write_table(pq.read_table(folder / name).drop_columns([column]), folder / name)
        reseal(folder)

    return damage


def without_samples(folder):
    change_shard(TRAIN, lambda old: [old[0], (old[1][0], b"x"), *old[2:]])(folder)
    (folder / SAMPLES).unlink()


BROKEN = [
    ("E105", MANIFEST, r"train samples in shards, 1 in the counts", counts(train=1)),
    ("E105", MANIFEST, r"samples in shards, 1 rows in samples", rows_of(SAMPLES, 1)),
    ("E105", MANIFEST, r"classes, 1 rows in hierarchy", rows_of(HIERARCHY, 1)),
    *(
        ("E105", MANIFEST, f"the table {name} is not listed", unlisted(name))
        for name in (HIERARCHY, CLASSES, SAMPLES, REJECTS)
    ),
    ("E106", REJECTS, r"rows, the manifest says 99", rows_of(REJECTS, 99)),
    ("E106", REJECTS, r"not a Parquet table", lambda out: ((out / REJECTS).write_bytes(b"no table"), reseal(out))),
    ("E304", SAMPLES, r"classes have fewer than \d+ val samples, the manifest says 2", counts(classes_short_of_val=2)),
    ("E304", SAMPLES, r"has \d+ val samples, not 0", val_per_class(0)),
    ("E304", SAMPLES, r"has \d+ val samples, not 99", val_per_class(99)),
    ("E501", HIERARCHY, r"not in order of class_index", table(HIERARCHY, column("class_index", [1, 0]))),
    ("E501", HIERARCHY, r"its wnids do not have", manifest_with(lambda _: {"class_list_sha256": "0" * 64})),
    ("E505", CLASSES, r"the kept wnids do not have", manifest_with(lambda _: {"class_list_sha256": "0" * 64})),
    ("E505", CLASSES, r"of kept classes are not 0 to 4", table(CLASSES, next_index_if_kept)),
    *(
        ("E106", HIERARCHY, f"it has no column {name}", without_column(HIERARCHY, name))
        for name in ("class_index", "name", "level", "path", "children", "images_val")
    ),
    ("E106", CLASSES, "it has no column images_train", without_column(CLASSES, "images_train")),
    ("E602", INDEX, "rewrites it", lambda out: (out / INDEX).write_bytes((out / INDEX).read_bytes()[:-9])),
    ("E602", INDEX, "rewrites it", lambda out: (out / INDEX).write_bytes((out / INDEX).read_bytes() + b"more")),
    ("E502", HIERARCHY, r"has the parent 99", table(HIERARCHY, column("parent_index", [99]))),
    ("E502", HIERARCHY, r"has the parent -2", table(HIERARCHY, column("parent_index", [-2]))),
    ("E502", HIERARCHY, r"the parents form a cycle", table(HIERARCHY, column("parent_index", [1, 0]))),
    ("E502", HIERARCHY, r"parent_wnid n00000000 is not", table(HIERARCHY, column("parent_wnid", ["n00000000"]))),
    ("E503", HIERARCHY, r"level 7 contradicts", table(HIERARCHY, column("level", [7]))),
    ("E503", HIERARCHY, r"path \[9\] contradicts", table(HIERARCHY, column("path", [[9]]))),
    ("E503", HIERARCHY, r"children \[9\] contradicts", table(HIERARCHY, column("children", [[9]]))),
    ("E504", HIERARCHY, r"samples\.parquet has", table(HIERARCHY, column("images_val", [99]))),
    ("E305", CLASSES, r"samples\.parquet has", table(CLASSES, column("images_train", [99] * 7))),
    ("E201", TRAIN, r"other than the end-of-archive", lambda out: add_zeros(out)),
    ("E203", TRAIN, r"6 samples, the manifest says 7", change_shard(TRAIN, lambda old: old[:-2])),
    ("E203", TRAIN, r": key .*, samples\.parquet has .*_x$", change_samples(column("key", [lambda key: f"{key}_x"]))),
    ("E203", TRAIN, r": offset 0, samples\.parquet has 512", change_samples(column("offset", [512]))),
    ("E203", TRAIN, r": image_bytes \d+, samples.* has 5$", change_samples(column("image_bytes", [5]))),
    ("E301", TRAIN, r"the label b'x' is not a class index", without_samples),
]
"""Code, file to blame, what is said of it, and what breaks a sound dataset so."""


def chain(classes, parents):
    wnids = [f"n{index:08d}" for index in range(classes)]
    parent_wnids = [None if parent < 0 else wnids[parent] for parent in parents]
    return SimpleNamespace(
        wnids=wnids, hierarchy=pa.table({"parent_index": pa.array(parents, pa.int32()), "parent_wnid": parent_wnids})
    )


@pytest.mark.parametrize(("classes", "found"), [(256, 0), (257, 1), (10**5, 1)])
def test_chains_of_over_256_levels_are_one_finding_and_paths_are_not_compared(classes, found):
    subject = chain(classes, [*range(-1, classes - 1)])
    assert len(list(verify_hierarchy.broken_parents(subject))) == found
    if found:
        assert list(verify_hierarchy.contradictions(subject)) == []


def test_a_long_cycle_is_one_finding():
    subject = chain(10**5, [*range(1, 10**5), 0])
    assert list(verify_hierarchy.broken_parents(subject)) == [
        (HIERARCHY, "the parents form a cycle, or a chain of over 256 levels")
    ]


def add_zeros(folder):
    with (folder / TRAIN).open("ab") as file:
        file.write(bytes(512))
    reseal(folder)


@pytest.mark.parametrize(
    ("code", "path", "message", "damage"), BROKEN, ids=[f"{each[0]}-{number}" for number, each in enumerate(BROKEN)]
)
def test_each_part_of_a_check_says_what_it_saw(dataset, tmp_path, code, path, message, damage):
    copy = shutil.copytree(dataset.out, tmp_path / "copy")
    damage(copy)
    found = verify(locate(copy), Depth.DEEP).findings
    said = [finding.message for finding in found if (finding.code, finding.path) == (code, path)]
    assert any(re.search(message, each) for each in said), found

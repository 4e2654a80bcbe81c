"""What a file says about its size is compared with its length before memory is taken."""

import dataclasses
import json
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from commands import RefusedError, call
from damage import change_samples, change_table, reseal, write_manifest

from in21k.prep.records import DATASET_CLASSES_SCHEMA, REJECTS_SCHEMA
from in21k.shards_manifest.errors import DatasetError
from in21k.shards_manifest.json_file import LARGEST
from in21k.shards_manifest.manifest import CLASSES, HIERARCHY, MANIFEST, REJECTS, SAMPLES, read_manifest
from in21k.shards_manifest.parquet_table import read_columns
from in21k.shards_manifest.sample_table import SampleTable
from in21k.shards_manifest.storage.location import locate
from in21k.shards_manifest.verify.checks import verify
from in21k.shards_manifest.verify.findings import Depth
from in21k.train.data.prepared.dataset import open_dataset
from in21k.train.use.class_table import read_class_table
from in21k.tree.table import write_table

MANY = 1 << 21


@pytest.fixture
def copy(dataset, tmp_path):
    return shutil.copytree(dataset.out, tmp_path / "copy")


def column(name, value):
    """Return what gives the first row another value."""

    def change(columns):
        columns[name][0] = value

    return change


def repeat_rows(path, times):
    """Write a table anew with each row group so often that few bytes claim many rows."""
    table = pq.read_table(path)
    row = table.slice(0, 1) if len(table) else pa.table({field.name: [""] for field in table.schema}, table.schema)
    many = row.take(pa.array([0] * times, pa.int32()))
    pq.write_table(many, path, compression="zstd")


def test_a_table_is_read_with_the_schema_that_it_was_written_with(dataset):
    for name, schema in ((CLASSES, DATASET_CLASSES_SCHEMA), (REJECTS, REJECTS_SCHEMA)):
        table = read_columns(locate(dataset.out / name), schema)
        written = pq.read_table(dataset.out / name)
        assert table.schema.metadata == written.schema.metadata
        assert table.select(written.column_names).to_pylist() == written.to_pylist()
        assert set(table.column_names) - set(written.column_names) <= {"images_unselected"}


@pytest.mark.parametrize("name", [CLASSES, HIERARCHY, REJECTS])
def test_a_table_of_more_rows_than_its_length_allows_is_refused(copy, monkeypatch, name):
    repeat_rows(copy / name, MANY)
    reseal(copy)
    read = pq.ParquetFile.read_row_groups

    def few(file, *arguments, **options):
        assert file.metadata.num_rows < MANY
        return read(file, *arguments, **options)

    monkeypatch.setattr(pq.ParquetFile, "read_row_groups", few)
    command = ("rejects", copy) if name == REJECTS else ("inspect", copy, "--class", "unicorn")
    with pytest.raises(RefusedError, match=rf"{name} is not a table of the expected kind \(2,097,152 rows in"):
        call(*command)
    assert ("E106", name) in {(found.code, found.path) for found in verify(locate(copy), Depth.QUICK).findings}


def test_training_and_predicting_refuse_such_a_hierarchy_too(copy):
    repeat_rows(copy / HIERARCHY, MANY)
    reseal(copy)
    for read in (lambda: open_dataset(str(copy)), lambda: read_class_table(locate(copy / HIERARCHY))):
        with pytest.raises(DatasetError, match=rf"{HIERARCHY} is not a table of the expected kind \(2,097,152 rows"):
            read()


def test_a_runs_copy_of_the_hierarchy_is_the_datasets(dataset, tmp_path):
    write_table(open_dataset(str(dataset.out)).hierarchy_table(), tmp_path / HIERARCHY)
    assert (tmp_path / HIERARCHY).read_bytes() == (dataset.out / HIERARCHY).read_bytes()


def test_a_hierarchy_of_an_older_version_is_copied_as_it_is(copy):
    older = pq.read_table(copy / HIERARCHY).drop_columns(["ancestors", "leaves"])
    pq.write_table(older, copy / HIERARCHY)
    reseal(copy)
    assert open_dataset(str(copy)).hierarchy_table().equals(older)


@pytest.mark.parametrize("label", [99, -1])
def test_a_label_that_is_no_class_index_is_one_line(copy, tmp_path, label):
    change_samples(column("class_index", label))(copy)
    key = pq.read_table(copy / SAMPLES)["key"][0].as_py()
    with pytest.raises(RefusedError, match=rf"{SAMPLES} has a label outside 0 to 4 in train/in21k-train-000000"):
        call("report", copy, "--output", tmp_path / "report")
    with pytest.raises(RefusedError, match="the tables name a class index outside 0 to 4"):
        call("inspect", copy, "--key", key)


def test_a_child_that_is_no_class_index_is_one_line(copy):
    change_table(copy, HIERARCHY, column("children", [99]))
    with pytest.raises(RefusedError, match="the tables name a class index outside 0 to 4"):
        call("inspect", copy, "--class", 0)


def test_a_report_of_a_hierarchy_of_other_classes_is_one_line(copy, tmp_path):
    pq.write_table(pq.read_table(copy / HIERARCHY).slice(0, 1), copy / HIERARCHY)
    with pytest.raises(RefusedError, match=rf"{HIERARCHY} has 1 classes, the manifest 5"):
        call("report", copy, "--output", tmp_path / "report")


def test_a_sample_table_of_other_lengths_than_the_manifests_is_refused_before_it_is_read(copy):
    manifest = read_manifest(locate(copy))
    first, *others = manifest.splits["train"]
    longer = dataclasses.replace(first, samples=first.samples + 1)
    write_manifest(copy, dataclasses.replace(manifest, splits={**manifest.splits, "train": (longer, *others)}))
    with pytest.raises(DatasetError, match="contradicts the manifest's record of train/in21k-train-000000"):
        SampleTable(locate(copy), read_manifest(locate(copy)))


@pytest.mark.parametrize(
    ("way", "value", "line"),
    [
        (("classes",), 10**12, "1000000000000 classes"),
        (("splits", "train", 0, "samples"), 10**18, "with 1000000000000000000 samples"),
        (("splits", "train", 0, "bytes"), 10**30, "with 7 samples in 1000000000000000000000000000000 bytes"),
        (("splits", "train", 0, "samples"), True, "with True samples"),
        (("splits", "train", 0, "path"), "train/\x1b[2J.tar", r"path 'train/\\x1b\[2J.tar'"),
        (("counts", "train"), "many", "counts.train is 'many'"),
        (("tables", SAMPLES, "rows"), -1, "with -1 rows"),
        (("parameters", "resize"), [], "not an object|resize is"),
    ],
)
def test_a_manifest_of_impossible_values_is_one_line(copy, way, value, line):
    fields = json.loads((copy / MANIFEST).read_bytes())
    *above, last = way
    inner = fields
    for key in above:
        inner = inner[key]
    inner[last] = value
    (copy / MANIFEST).write_text(json.dumps(fields))
    with pytest.raises(RefusedError, match=line):
        call("inspect", copy)


@pytest.mark.parametrize("content", [b"[" * 100_000, b'{"a":' * 100_000, b'{"schema_version": ' + b"9" * 10_000 + b"}"])
def test_json_that_is_too_deep_or_too_long_a_number_is_one_line(copy, content):
    (copy / MANIFEST).write_bytes(content)
    with pytest.raises(RefusedError, match="is not a manifest"):
        call("inspect", copy)


def test_a_manifest_that_is_too_large_is_not_read(copy):
    with (copy / MANIFEST).open("ab") as file:
        file.truncate(LARGEST + 1)
    with pytest.raises(RefusedError, match="bytes long; no such file of in21k is over"):
        call("inspect", copy)


@pytest.mark.parametrize("content", [b"", b"garbage"])
@pytest.mark.parametrize(
    ("name", "command"),
    [(HIERARCHY, "inspect"), (REJECTS, "rejects"), (HIERARCHY, "report"), (CLASSES, "report"), (REJECTS, "report")],
)
def test_a_dataset_with_an_empty_table_is_one_line(copy, tmp_path, name, command, content):
    (copy / name).write_bytes(content)
    options = {"inspect": ("--class", "dog"), "report": ("--output", tmp_path / "report")}.get(command, ())
    with pytest.raises(RefusedError, match=name):
        call(command, copy, *options)


@pytest.mark.parametrize("content", [b"", b"garbage"])
def test_a_work_folder_with_an_empty_class_table_is_one_line(dataset, tmp_path, content):
    work = shutil.copytree(dataset.work, tmp_path / "work")
    (work / "classes.parquet").write_bytes(content)
    with pytest.raises(RefusedError, match=r"classes\.parquet"):
        call("shard", work, tmp_path / "out")

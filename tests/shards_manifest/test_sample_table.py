import dataclasses
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from in21k.shards_manifest.errors import DatasetError
from in21k.shards_manifest.manifest import SAMPLES, SPLITS
from in21k.shards_manifest.sample_table import FINGERPRINTS, SampleTable
from in21k.shards_manifest.storage.location import locate


@pytest.fixture
def copy(dataset, tmp_path):
    """A folder with only the dataset's sample table, which a test may change."""
    shutil.copy(dataset.out / SAMPLES, tmp_path)
    return tmp_path


def rewrite(folder, change):
    """Rewrite the table, with each row group changed by a function of table and position."""
    old = pq.ParquetFile(folder / SAMPLES)
    groups = [change(old.read_row_group(at), at) for at in range(old.num_row_groups)]
    groups = [group for group in groups if group is not None]
    with pq.ParquetWriter(folder / SAMPLES, groups[0].schema) as writer:
        for group in groups:
            writer.write_table(group, row_group_size=len(group))


def with_column(table, name, values):
    return table.set_column(
        table.schema.get_field_index(name), table.schema.field(name), [pa.array(values, table.schema.field(name).type)]
    )


def test_all_rows_are_those_of_the_whole_table(dataset):
    samples = SampleTable(locate(dataset.out), dataset.manifest)
    rows = pq.read_table(dataset.out / SAMPLES).to_pylist()
    for split in SPLITS:
        for shard in range(len(dataset.manifest.splits[split])):
            expected = [row for row in rows if (row["split"], row["shard"]) == (split, shard)]
            index = samples.index(split, shard)
            assert index.offsets.tolist() == [row["offset"] for row in expected]
            assert index.sizes.tolist() == [row["size"] for row in expected]
            assert index.class_indices.tolist() == [row["class_index"] for row in expected]
            assert samples.keys(split, shard) == [row["key"] for row in expected]


def test_no_column_of_the_table_but_fingerprints_may_be_null(dataset):
    schema = pq.ParquetFile(dataset.out / SAMPLES).schema_arrow
    assert [name for name in schema.names if schema.field(name).nullable] == FINGERPRINTS.names


def test_a_missing_table_is_one_line(dataset, tmp_path):
    with pytest.raises(DatasetError, match=r"samples\.parquet: there is no such file"):
        SampleTable(locate(tmp_path), dataset.manifest)


@pytest.mark.parametrize("content", [b"", b"no table", b"PAR1" * 100])
def test_what_is_not_a_table_is_one_line(dataset, tmp_path, content):
    (tmp_path / SAMPLES).write_bytes(content)
    with pytest.raises(DatasetError, match=r"samples\.parquet is not a Parquet table"):
        SampleTable(locate(tmp_path), dataset.manifest)


def test_a_table_with_the_wrong_number_of_shards_is_refused(dataset, copy):
    rewrite(copy, lambda table, at: table if at else None)
    with pytest.raises(DatasetError, match=r"has \d+ shards, the manifest \d+"):
        SampleTable(locate(copy), dataset.manifest)


def test_more_rows_than_the_file_can_hold_are_refused_before_they_are_read(dataset, copy):
    many = pa.array([0] * (1 << 21), pa.int32())
    rewrite(copy, lambda table, at: table if at else table.slice(0, 1).take(many))
    with pytest.raises(DatasetError, match=r"samples\.parquet cannot be a sample table \(2,097,\d+ rows in"):
        SampleTable(locate(copy), dataset.manifest)


@pytest.mark.parametrize(
    "change",
    [
        lambda table, at: table.slice(1),
        lambda table, at: with_column(table, "offset", [-512, *table["offset"].to_pylist()[1:]]),
        lambda table, at: with_column(table, "offset", [1 << 40, *table["offset"].to_pylist()[1:]]),
        lambda table, at: with_column(table, "size", [1 << 30] * len(table)),
    ],
    ids=["a-row-less", "negative-offset", "offset-past-the-end", "size-past-the-end"],
)
def test_rows_that_contradict_the_manifest_are_refused(dataset, copy, change):
    rewrite(copy, lambda table, at: change(table, at) if at == len(dataset.manifest.splits["train"]) else table)
    with pytest.raises(
        DatasetError, match=r"samples\.parquet contradicts the manifest's record of val/in21k-val-000000"
    ):
        SampleTable(locate(copy), dataset.manifest).index("val", 0)


def test_a_table_without_a_column_is_one_line(dataset, copy):
    rewrite(copy, lambda table, at: table.drop_columns(["offset", "key"]))
    samples = SampleTable(locate(copy), dataset.manifest)
    with pytest.raises(DatasetError, match=r"samples\.parquet: row group 0 cannot be read \(.*offset"):
        samples.index("train", 0)
    with pytest.raises(DatasetError, match=r"samples\.parquet: row group 0 cannot be read \(.*key"):
        samples.keys("train", 0)


def test_damaged_pages_are_one_line(dataset, copy):
    data = bytearray((copy / SAMPLES).read_bytes())
    for column in range(6):
        chunk = pq.ParquetFile(copy / SAMPLES).metadata.row_group(0).column(column)
        at = chunk.dictionary_page_offset or chunk.data_page_offset
        data[at : at + 16] = b"\xff" * 16
    (copy / SAMPLES).write_bytes(data)
    samples = SampleTable(locate(copy), dataset.manifest)
    with pytest.raises(DatasetError, match=r"samples\.parquet"):
        samples.index("train", 0)
    with pytest.raises(DatasetError, match=r"samples\.parquet"):
        samples.keys("train", 0)


def test_a_manifest_without_val_shards_leaves_only_train(dataset, copy):
    train = len(dataset.manifest.splits["train"])
    rewrite(copy, lambda table, at: table if at < train else None)
    only_train = dataclasses.replace(dataset.manifest, splits={**dataset.manifest.splits, "val": ()})
    assert len(SampleTable(locate(copy), only_train).index("train", 0).offsets) == only_train.splits["train"][0].samples

"""A sample is found by its key without reading all keys, and in any other order of the shards too."""

from dataclasses import replace

import pytest
from small_dataset import write_dataset

from in21k.shards_manifest import key_search
from in21k.shards_manifest.key_search import SampleRow, find_sample
from in21k.shards_manifest.manifest import SPLITS, read_manifest
from in21k.shards_manifest.sample_table import SampleTable
from in21k.shards_manifest.storage.location import locate


def rows_of(table, manifest):
    """Every key with the place of its row."""
    for split in SPLITS:
        for shard in range(len(manifest.splits[split])):
            for row, key in enumerate(table.keys(split, shard)):
                yield key, SampleRow(split, shard, row)


def count_reads(monkeypatch) -> list[int]:
    """What notes each shard whose keys are read."""
    reads, read = [], SampleTable.key_column
    monkeypatch.setattr(
        SampleTable, "key_column", lambda table, split, shard: reads.append(shard) or read(table, split, shard)
    )
    return reads


def test_every_key_is_found_in_a_shard_or_two(dataset, monkeypatch):
    table = SampleTable(locate(dataset.out), dataset.manifest)
    expected = dict(rows_of(table, dataset.manifest))
    reads = count_reads(monkeypatch)
    assert {key: find_sample(table, dataset.manifest, key) for key in expected} == expected
    assert sum(map(len, dataset.manifest.splits.values())) >= 5
    assert len(reads) / len(expected) < 2.5


def test_a_key_that_is_nowhere_is_told_by_the_order_alone(dataset, monkeypatch):
    table = SampleTable(locate(dataset.out), dataset.manifest)
    monkeypatch.setattr(key_search, "_TELLING", 1)  # the shards here are small
    monkeypatch.setattr(key_search, "_scan", lambda *_: pytest.fail("all keys were read"))
    assert [find_sample(table, dataset.manifest, f"n02084071_{number}x") for number in range(20)] == [None] * 20


@pytest.mark.parametrize("parameters", [{}, {"split": {"seed": 0}}])
def test_samples_in_another_order_are_found_too(tmp_path, parameters):
    out = locate(write_dataset(tmp_path / "out"))
    manifest = replace(read_manifest(out), parameters=parameters)
    table = SampleTable(out, manifest)
    expected = dict(rows_of(table, manifest))
    assert {key: find_sample(table, manifest, key) for key in expected} == expected
    assert find_sample(table, manifest, "n02084071_0") is None


@pytest.mark.parametrize("key", ["", "../x", "n02084071_\udc80", "a" * 101])
def test_what_is_no_key_is_found_nowhere(dataset, key):
    assert find_sample(SampleTable(locate(dataset.out), dataset.manifest), dataset.manifest, key) is None

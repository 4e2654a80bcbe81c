import shutil
import tracemalloc
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from damage import change_samples

from in21k.shards_manifest.manifest import HIERARCHY, SAMPLES, read_manifest
from in21k.shards_manifest.storage.location import locate
from in21k.shards_manifest.verify import repeated_keys, sample_summary
from in21k.shards_manifest.verify.sample_summary import summarize


def wnids_of(folder):
    return pq.read_table(folder / HIERARCHY)["wnid"].to_pylist()


def summary_of(folder):
    return summarize(locate(folder), read_manifest(locate(folder)), wnids_of(folder))


def listed(odd):
    return [(samples.shard, samples.key, samples.count) for samples in odd]


@pytest.fixture
def twice(dataset, tmp_path):
    """A copy in which the first shard's first key is all of that shard's keys, and the first of val."""
    folder = shutil.copytree(dataset.out, tmp_path / "copy")
    group = pq.ParquetFile(folder / SAMPLES).read_row_group(0)
    key = group["key"][0].as_py()

    def repeat(columns):
        columns["key"] = [key] * len(columns["key"])

    def repeat_once(columns):
        columns["key"][0] = key

    change_samples(repeat)(folder)
    change_samples(repeat_once, group=len(dataset.manifest.splits["train"]))(folder)
    return folder, key, len(group)


@pytest.mark.parametrize("samples_per_round", [2 << 20, 1])
def test_many_odd_samples_of_a_shard_are_one_entry_with_a_count(twice, monkeypatch, samples_per_round):
    monkeypatch.setattr(repeated_keys, "_ROUND", samples_per_round)
    folder, key, count = twice
    manifest, found = read_manifest(locate(folder)), summary_of(folder)
    first_train, first_val = (manifest.splits[split][0].path for split in ("train", "val"))
    assert listed(found.repeated) == [(first_train, key, count - 1)]
    assert listed(found.in_both) == [(first_val, key, 1)]
    assert found.misnamed[0].shard == first_train


def test_keys_of_equal_hashes_are_told_apart(dataset, twice, monkeypatch):
    expected = summary_of(twice[0])
    monkeypatch.setattr(sample_summary, "hash_strings", lambda keys: np.zeros(len(keys), np.uint64))
    found = summary_of(dataset.out)
    assert (found.repeated, found.in_both) == ([], [])
    found = summary_of(twice[0])
    assert (found.repeated, found.in_both) == (expected.repeated, expected.in_both)


def test_every_repeated_key_is_found_whatever_the_rounds(dataset, tmp_path, monkeypatch):
    folder = shutil.copytree(dataset.out, tmp_path / "copy")
    keys = pq.ParquetFile(folder / SAMPLES).read_row_group(0)["key"].to_pylist()

    def repeat(columns):
        columns["key"][: len(keys)] = keys[: len(columns["key"])]

    change_samples(repeat, group=1)(folder)
    for samples_per_round in (1, 3, 2 << 20):
        monkeypatch.setattr(repeated_keys, "_ROUND", samples_per_round)
        found = summary_of(folder).repeated
        assert sum(samples.count for samples in found) == len(keys)
        assert {samples.shard for samples in found} == {dataset.manifest.splits["train"][1].path}


def test_labels_and_beginnings_of_keys_are_compared_sample_by_sample(dataset):
    wnids = wnids_of(dataset.out)
    found = summarize(locate(dataset.out), dataset.manifest, [*wnids[:3], wnids[3][:-1], f"{wnids[4]}x"])
    rows = pq.read_table(dataset.out / SAMPLES).to_pylist()
    assert sum(samples.count for samples in found.misnamed) == sum(row["class_index"] >= 3 for row in rows)
    found = summarize(locate(dataset.out), dataset.manifest, wnids[:3])
    assert sum(samples.count for samples in found.no_classes) == sum(row["class_index"] >= 3 for row in rows)
    assert found.misnamed == []
    counted = sum(int(images.sum()) for images in found.images.values())
    assert counted == sum(row["class_index"] < 3 for row in rows)


def peaks_of_one_key(shards):
    """Return the peak bytes of Arrow and of NumPy while so many shards of one key are compared, and what is found."""
    paths = [SimpleNamespace(path=f"train/{number}.tar") for number in range(shards)]
    manifest = SimpleNamespace(splits={"train": paths, "val": []})
    table = SimpleNamespace(key_column=lambda *_: pa.array(["n01440764_1"] * 500))
    hashes = [np.zeros(500, np.uint64) for _ in paths]
    usual, counting = pa.default_memory_pool(), pa.proxy_memory_pool(pa.default_memory_pool())
    pa.set_memory_pool(counting)
    tracemalloc.start()
    try:
        found, _ = repeated_keys.repeated_keys(table, manifest, hashes)
        return counting.max_memory(), tracemalloc.get_traced_memory()[1], found
    finally:
        tracemalloc.stop()
        pa.set_memory_pool(usual)


def test_one_key_for_all_samples_takes_little_more_memory_than_the_hashes(monkeypatch):
    monkeypatch.setattr(repeated_keys, "_ROUND", 2000)
    few, many = peaks_of_one_key(20), peaks_of_one_key(200)
    assert sum(samples.count for samples in many[2]) == 200 * 500 - 1
    assert len(many[2]) == 200
    assert many[0] <= few[0]
    assert many[1] - few[1] < 180 * 500 * 40

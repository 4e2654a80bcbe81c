"""Fingerprints on their way from resize into the sample table, and work folders that have none yet."""

import shutil

import pyarrow.parquet as pq
import pytest
from commands import call, digests
from dumps import PIPELINE, SAMPLES_PER_SHARD, SIZE

from in21k.prep.images.fingerprint import Fingerprinter
from in21k.prep.images.parameters import ResizeParameters
from in21k.prep.images.resize_image import resize_image
from in21k.prep.stages import sample_rows
from in21k.shards_manifest.sample_table import FINGERPRINTS

pytestmark = pytest.mark.usefixtures("inline")


def samples(out):
    return pq.read_table(out / "samples.parquet")


def without_fingerprints(work, parts=None):
    """Make the parts of a work folder those of an older version."""
    for path in sorted((work / "parts").glob("part-*[0-9].parquet"))[:parts]:
        pq.write_table(pq.read_table(path).drop_columns(FINGERPRINTS.names), path)


def shard(work, out):
    call("shard", work, out, "--samples-per-shard", SAMPLES_PER_SHARD, "--workers", 1)


@pytest.mark.parametrize("at_a_time", [1, 8, 1 << 20])
def test_each_sample_has_the_fingerprint_of_its_image(dataset, tmp_path, monkeypatch, at_a_time):
    monkeypatch.setattr(sample_rows, "_AT_A_TIME", at_a_time)
    shard(dataset.work, tmp_path / "out")
    assert digests(tmp_path / "out") == digests(dataset.out)
    for row in samples(tmp_path / "out").to_pylist():
        data = dataset.files[row["key"].partition("_")[0]][row["key"] + ".JPEG"]
        maker = Fingerprinter()
        maker.add(resize_image(data, ResizeParameters(SIZE)).sketch)
        (found,) = maker.all()
        assert {name: row[name] for name in FINGERPRINTS.names} == {
            name: getattr(found, name) for name in FINGERPRINTS.names
        }


def test_parts_of_an_older_version_make_the_table_that_it_made(dataset, tmp_path):
    work = shutil.copytree(dataset.work, tmp_path / "work")
    without_fingerprints(work)
    shard(work, tmp_path / "out")
    assert samples(tmp_path / "out").equals(samples(dataset.out).drop_columns(FINGERPRINTS.names))
    assert call("verify", tmp_path / "out", "--deep")["sound"]


def test_parts_of_both_versions_make_a_table_with_nulls(dataset, tmp_path):
    work = shutil.copytree(dataset.work, tmp_path / "work")
    without_fingerprints(work, 2)
    shard(work, tmp_path / "out")
    rows = samples(tmp_path / "out")
    assert 0 < rows["phash"].null_count < len(rows)
    assert call("verify", tmp_path / "out")["sound"]
    assert call("duplicates", tmp_path / "out", "--output", tmp_path / "found", "--workers", 1)["images"] == len(rows)


@pytest.mark.parametrize("remade", [False, True])
def test_a_dataset_of_an_older_version_is_repaired_byte_for_byte(dataset, tmp_path, remade):
    work = shutil.copytree(dataset.work, tmp_path / "work")
    without_fingerprints(work)
    shard(work, tmp_path / "out")
    before = digests(tmp_path / "out")
    if remade:
        shutil.copytree(dataset.work / "parts", work / "parts", dirs_exist_ok=True)
    (tmp_path / "out" / "samples.parquet").write_bytes(b"damaged")
    assert call("repair", work, tmp_path / "out")["written"] == ["samples.parquet"]
    assert digests(tmp_path / "out") == before


def test_the_sample_table_with_fingerprints_is_repaired_byte_for_byte(dataset, tmp_path):
    out = shutil.copytree(dataset.out, tmp_path / "out")
    (out / "samples.parquet").unlink()
    call("repair", dataset.work, out)
    assert digests(out) == digests(dataset.out)


@pytest.mark.parametrize("memory", ["1MiB", "600MiB"])
def test_fingerprints_do_not_depend_on_the_parts(dataset, tmp_path, memory):
    call("run", dataset.raw, tmp_path / "work", tmp_path / "out", *PIPELINE, "--workers", 1, "--memory", memory)
    assert samples(tmp_path / "out").equals(samples(dataset.out))

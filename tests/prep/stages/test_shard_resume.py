"""What shard finds in an output that an earlier run left unfinished."""

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from commands import RefusedError, call, digests
from dumps import PIPELINE, SAMPLES_PER_SHARD

from in21k.prep.errors import PrepError
from in21k.prep.executor import Workers
from in21k.prep.stages.shard import ShardParameters, write_shards
from in21k.prep.stages.shard_files import index_shard, plan_shards
from in21k.shards_manifest.storage.location import Location, locate
from in21k.shards_manifest.storage.ranges import LocalRanges

pytestmark = pytest.mark.usefixtures("inline")

FIRST, LAST = "train/in21k-train-000000.tar", "val/in21k-val-000002.tar"


def shard(work: Path, out: Path, samples: int = SAMPLES_PER_SHARD) -> None:
    call("shard", work, out, "--samples-per-shard", samples, "--workers", 1)


class StoppedError(Exception):
    pass


@pytest.fixture
def unfinished(dataset, tmp_path, monkeypatch):
    """A dataset whose run stopped before the manifest: all shards and their records are there."""

    def stop(location: Location, content: bytes) -> None:
        if location.name == "manifest.json":
            raise StoppedError
        write(location, content)

    write = Location.write_bytes
    with monkeypatch.context() as patched:
        patched.setattr(Location, "write_bytes", stop)
        with pytest.raises(StoppedError):
            shard(dataset.work, tmp_path / "out")
    assert (tmp_path / "out" / ".unfinished").exists()
    return tmp_path / "out"


def test_other_parameters_are_refused_on_an_unfinished_output(dataset, unfinished):
    with pytest.raises(RefusedError, match="by shard with samples_per_shard 7, not 8"):
        shard(dataset.work, unfinished, 8)
    shard(dataset.work, unfinished)
    assert digests(unfinished) == digests(dataset.out)


@pytest.mark.parametrize("state", ["finished", "begun"])
@pytest.mark.parametrize(
    ("option", "line"), [("--size", "by resize with size"), ("--quality", "by resize with quality")]
)
def test_run_refuses_a_dataset_of_other_choices_before_it_resizes(dataset, unfinished, tmp_path, state, option, line):
    out = unfinished if state == "begun" else dataset.out
    before = digests(out)
    with pytest.raises(RefusedError, match=line):
        call("run", dataset.raw, tmp_path / "work", out, *PIPELINE, "--workers", 1, option, 33)
    assert digests(out) == before
    assert not (tmp_path / "work" / "parts").exists()


@pytest.mark.parametrize("name", [FIRST, LAST])
def test_a_recorded_shard_that_was_cut_is_written_again(dataset, unfinished, name):
    whole = {path: path.stat().st_mtime_ns for path in unfinished.glob("*/*.tar") if path != unfinished / name}
    (unfinished / name).write_bytes((unfinished / name).read_bytes()[:-512])
    shard(dataset.work, unfinished)
    assert digests(unfinished) == digests(dataset.out)
    assert {path: path.stat().st_mtime_ns for path in whole} == whole


def test_a_part_without_checksums_that_lost_its_end_is_damaged_too(dataset, tmp_path):
    work = shutil.copytree(dataset.work, tmp_path / "work")
    for path in (work / "parts").glob("part-*[0-9].parquet"):
        pq.write_table(pq.read_table(path).drop_columns(["crc32"]), path)
        part = path.with_suffix(".tar")
        part.write_bytes(part.read_bytes()[:-2048])
    with pytest.raises(RefusedError, match=r"part-\d+\.tar is damaged \(it ends before byte \d+\)"):
        shard(work, tmp_path / "out")


@pytest.fixture
def events(monkeypatch):
    """What happens to the manifest and to the record of progress, in order."""
    found: list[str] = []
    write, delete, folder = Location.write_bytes, Location.delete_file, Location.delete_folder

    def noted(what: str, act):
        def act_and_note(location: Location, *content: bytes) -> None:
            if location.name in ("manifest.json", "repair", ".unfinished"):
                found.append(f"{what} {location.name}")
            act(location, *content)

        return act_and_note

    monkeypatch.setattr(Location, "write_bytes", noted("write", write))
    monkeypatch.setattr(Location, "delete_file", noted("delete", delete))
    monkeypatch.setattr(Location, "delete_folder", noted("delete", folder))
    return found


def test_the_record_of_progress_goes_after_the_manifest_came(dataset, tmp_path, events):
    shard(dataset.work, tmp_path / "out")
    assert events == ["write manifest.json", "delete .unfinished"]


def test_a_repair_marks_the_folder_before_it_deletes_the_manifest(dataset, tmp_path, events):
    out = shutil.copytree(dataset.out, tmp_path / "out")
    (out / "manifest.json").write_bytes(b"{}")
    call("repair", dataset.work, out, "--workers", 1)
    assert events == ["write repair", "delete manifest.json", "write manifest.json", "delete .unfinished"]


def test_a_dataset_is_indexed_in_a_few_large_reads(dataset, tmp_path, monkeypatch):
    out = shutil.copytree(dataset.out, tmp_path / "out")
    (out / ".unfinished").mkdir()
    reads = []
    read = LocalRanges.read
    monkeypatch.setattr(LocalRanges, "read", lambda self, *where: reads.append(self) or read(self, *where))
    for task in plan_shards(locate(dataset.work), locate(out), SAMPLES_PER_SHARD).tasks:
        reads.clear()
        index_shard(task)
        assert len(reads) <= 2
    indexed = [pq.read_table(path) for path in sorted((out / ".unfinished").glob("*.parquet"))]
    samples = pq.read_table(out / "samples.parquet", columns=indexed[0].column_names)
    assert pa.concat_tables(indexed).to_pylist() == samples.to_pylist()


@pytest.mark.parametrize("left", [0, -1], ids=["none", "all but the last"])
def test_parts_that_are_gone_are_an_error(dataset, tmp_path, left):
    work = shutil.copytree(dataset.work, tmp_path / "work")
    tables = sorted((work / "parts").glob("part-?????.parquet"))
    assert len(tables) > 1
    for table in tables[left:]:
        table.unlink()
    with pytest.raises(RefusedError, match=r"parts that `in21k-prep resize` wrote are missing; delete .*/resize\.json"):
        shard(work, tmp_path / "out")
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_no_samples_per_shard_are_refused(dataset, tmp_path):
    with pytest.raises(PrepError, match="--samples-per-shard 0: give 1 or more"):
        write_shards(locate(dataset.work), locate(tmp_path / "out"), ShardParameters(0), Workers(1))
    assert not (tmp_path / "out").exists()

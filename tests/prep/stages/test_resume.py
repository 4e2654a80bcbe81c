import fcntl
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from commands import PREP, RefusedError, call, digests, one_line, prep
from dumps import PIPELINE, images_of, jpeg, make_dump
from processes import children, lives, until
from shared_memory import with_shared_memory

from in21k.tree.wordnet import load_wordnet

LONG = ("--min-images", 4, "--val-per-class", 1, "--size", 64, "--samples-per-shard", 2)
"""Enough work for some seconds: many parts, and many shards."""


@pytest.fixture(scope="module")
def long_dump(tmp_path_factory):
    """A dump of 24 classes with five images each, which take some time to decode."""
    slow = jpeg(1, (900, 900))
    wnids = list(load_wordnet())[20_000:20_240:10]
    classes = {wnid: [(f"{wnid}_{number}.JPEG", slow) for number in range(5)] for wnid in wnids}
    return make_dump(tmp_path_factory.mktemp("long") / "long.tar", classes)


@pytest.fixture(scope="module")
def undisturbed(long_dump, tmp_path_factory):
    """The digests of all files of a run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("undisturbed")
    call("run", long_dump, folder / "work", folder / "out", *LONG, "--workers", 1)
    return digests(folder / "out")


def wait_for(appears, run: subprocess.Popen) -> None:
    while not appears():
        assert run.poll() is None, "the command ended before it could be killed"
        time.sleep(0.005)


def kill_when(appears, arguments) -> None:
    """Start a command, kill it without warning as soon as `appears()` holds, and wait until its workers are gone."""
    run = subprocess.Popen([*PREP, *map(str, arguments)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(appears, run)
    workers = children(run.pid)
    assert run.poll() is None
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    assert workers
    until(lambda: not any(map(lives, workers)))


def temporaries(folder: Path) -> list[Path]:
    return list(folder.rglob(".tmp-*"))


def test_a_run_killed_in_resize_and_again_in_shard_resumes_to_the_same_files(long_dump, undisturbed, tmp_path):
    work, out = tmp_path / "work", tmp_path / "out"
    arguments = ("run", long_dump, work, out, *LONG, "--workers", 2)

    kill_when(lambda: any((work / "parts").glob("part-*[0-9].parquet")), arguments)
    assert not (work / "resize.json").exists()
    whole = {table.name.partition(".")[0] for table in (work / "parts").glob("part-*[0-9].parquet")}
    done = {path: path.stat().st_mtime_ns for name in whole for path in (work / "parts").glob(f"{name}.*")}

    kill_when(lambda: any((out / ".unfinished").glob("[tv]*-[0-9]*.json")), arguments)
    assert not (out / "manifest.json").exists()
    assert (work / "resize.json").exists()
    assert {path: path.stat().st_mtime_ns for path in done} == done  # what was complete is not written again
    shards = {record: record.stat().st_mtime_ns for record in (out / ".unfinished").glob("[tv]*-[0-9]*.json")}

    run = prep(*arguments)
    assert run.returncode == 0, run.stderr
    assert shards
    assert digests(out) == undisturbed
    assert temporaries(work) == temporaries(out) == []
    assert not (out / ".unfinished").exists()


def test_what_a_killed_writer_left_is_deleted(dataset, tmp_path):
    work, out = tmp_path / "work", tmp_path / "out"
    litter = [work / ".tmp-1-images.parquet", work / "parts" / ".tmp-2-part-00000.tar"]
    for path in litter:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half")
    (work / ".lock").touch()  # the first that a writer leaves
    call("run", dataset.raw, work, out, *PIPELINE, "--workers", 1)
    assert temporaries(tmp_path) == []
    assert digests(out) == digests(dataset.out)


def snapshot(folder: Path) -> dict[str, int]:
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != ".lock"]
    return {str(path): path.stat().st_mtime_ns for path in files}


@pytest.fixture(scope="module")
def done(dataset, tmp_path_factory):
    """A separate finished run, for tests that try to disturb one."""
    folder = tmp_path_factory.mktemp("done")
    shutil.copytree(dataset.work, folder / "work")
    shutil.copytree(dataset.out, folder / "out")
    return folder


def test_a_finished_run_is_not_repeated(dataset, done):
    before = snapshot(done)
    again = call("run", dataset.raw, done / "work", done / "out", *PIPELINE, "--workers", 1)
    assert snapshot(done) == before
    assert again["train"] == dataset.summary["train"]


@pytest.mark.parametrize(
    ("option", "difference"),
    [
        (("--min-images", 11), "filter was done with min_images 10, not 11"),
        (("--val-per-class", 2), "split was done with val_per_class 3, not 2"),
        (("--order", "hash"), "split was done with order 'name', not 'hash'"),
        (("--seed", 5), "split was done with seed 0, not 5"),
        (("--size", 17), "resize was done with size 16, not 17"),
        (("--quality", 80), "resize was done with quality 95, not 80"),
        (("--filter", "lanczos"), "resize was done with filter 'bicubic', not 'lanczos'"),
        (("--samples-per-shard", 8), "by shard with samples_per_shard 7, not 8"),
        (("--parents", "shortest"), "by shard with parents 'published', not 'shortest'"),
    ],
)
def test_other_parameters_are_refused_and_the_difference_is_named(dataset, done, option, difference):
    before = snapshot(done)
    with pytest.raises(RefusedError, match=difference):
        call("run", dataset.raw, done / "work", done / "out", *PIPELINE, "--workers", 1, *option)
    assert snapshot(done) == before


@pytest.mark.parametrize("first", [("--min-images", 11), ("--val-per-class", 1), ("--order", "hash")])
def test_a_dry_run_does_not_bind_the_run(dataset, tmp_path, first):
    run = ("run", dataset.raw, tmp_path / "work", tmp_path / "out", *PIPELINE, "--workers", 1)
    assert prep(*run, *first, "--dry-run").returncode == 0
    call(*run)
    assert digests(tmp_path / "out") == digests(dataset.out)


def test_what_a_start_that_failed_planned_does_not_bind_the_next(dataset, tmp_path):
    run = ("run", dataset.raw, tmp_path / "work", tmp_path / "out", *PIPELINE, "--workers", 1, "--force")
    too_small = with_shared_memory("4k", *PREP, *run, "--size", 99)
    assert subprocess.run(too_small, capture_output=True, timeout=120, check=False).returncode == 1
    assert (tmp_path / "work" / "parts" / "plan.json").exists()
    call(*run)
    assert digests(tmp_path / "out") == digests(dataset.out)


def test_samples_per_shard_are_checked_before_any_work(dataset, tmp_path):
    with pytest.raises(RefusedError, match="--samples-per-shard 0: give 1 or more"):
        call("run", dataset.raw, tmp_path / "work", tmp_path / "out", *PIPELINE, "--samples-per-shard", 0)
    assert not (tmp_path / "work").exists()


def test_another_dump_is_refused(done, tmp_path):
    other = make_dump(tmp_path / "other.tar", {"n02084071": images_of("n02084071", 12)})
    with pytest.raises(RefusedError, match=r"filter was done with bytes \d+, not \d+"):
        call("filter", other, done / "work", "--min-images", 10)


def test_the_same_dump_under_another_name_is_accepted(dataset, done, tmp_path):
    moved = tmp_path / "moved.tar"
    moved.write_bytes(dataset.raw.read_bytes())
    before = snapshot(done / "out")
    call("filter", moved, done / "work", "--min-images", 10)
    call("run", dataset.raw, done / "work", done / "out", *PIPELINE, "--workers", 1)
    assert snapshot(done / "out") == before


def test_a_dump_that_changed_between_filter_and_resize_is_refused(tmp_path):
    raw = make_dump(tmp_path / "raw.tar", {"n02084071": images_of("n02084071", 5)})
    call("filter", raw, tmp_path / "work", "--min-images", 1)
    call("split", tmp_path / "work", "--val-per-class", 1)
    make_dump(raw, {"n02084071": images_of("n02084071", 60)})
    with pytest.raises(RefusedError, match=r"raw\.tar has changed since `in21k-prep filter` read it"):
        call("resize", tmp_path / "work", "--size", 16, "--workers", 1)
    raw.unlink()
    with pytest.raises(RefusedError, match=r"raw\.tar: there is no such file"):
        call("resize", tmp_path / "work", "--size", 16, "--workers", 1)


def test_resuming_resize_with_other_parameters_is_refused(long_dump, tmp_path):
    work = tmp_path / "work"
    call("filter", long_dump, work, "--min-images", 4)
    call("split", work, "--val-per-class", 1)
    begun = ("resize", work, "--size", 64, "--workers", 1)
    kill_when(lambda: any((work / "parts").glob("part-*[0-9].parquet")), begun)
    with pytest.raises(RefusedError, match="resize was started with size 64, not 32"):
        call("resize", work, "--size", 32, "--workers", 1)


@pytest.mark.parametrize(
    ("stage", "arguments", "missing"),
    [("split", (), "filter"), ("resize", (), "split"), ("shard", ("out",), "filter")],
)
def test_a_stage_whose_predecessor_is_missing_says_which(tmp_path, stage, arguments, missing):
    with pytest.raises(RefusedError, match=f"no finished {missing} there; run `in21k-prep {missing}` on it first"):
        call(stage, tmp_path / "work", *(tmp_path / argument for argument in arguments))


def test_parts_that_are_gone_are_one_line_and_no_smaller_dataset(dataset, tmp_path):
    work = tmp_path / "work"
    call("filter", dataset.raw, work, "--min-images", 10)
    call("split", work, "--val-per-class", 3)
    call("resize", work, "--size", 16, "--workers", 1)
    parts = sorted((work / "parts").glob("part-*[0-9].parquet"))
    parts[-1].unlink()
    with pytest.raises(RefusedError, match="parts"):
        call("shard", work, tmp_path / "out", "--workers", 1)
    for path in parts[:-1]:
        path.unlink()
    with pytest.raises(RefusedError, match="parts"):
        call("shard", work, tmp_path / "out", "--workers", 1)
    assert not (tmp_path / "out" / "manifest.json").exists()


@pytest.mark.parametrize("name", ["filter", "split", "resize"])
def test_a_damaged_stage_record_is_one_line(done, tmp_path, name):
    shutil.copytree(done / "work", tmp_path / "work")
    (tmp_path / "work" / f"{name}.json").write_text("{}")
    with pytest.raises(RefusedError, match=rf"{name}\.json is not a stage record"):
        call("shard", tmp_path / "work", tmp_path / "out")


def test_a_folder_with_other_files_is_refused(done, tmp_path):
    (tmp_path / "thesis.docx").write_bytes(b"precious")
    with pytest.raises(RefusedError, match=r"holds thesis\.docx and no dataset"):
        call("shard", done / "work", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.docx"]
    with pytest.raises(RefusedError, match=r"thesis\.docx is a file"):
        call("shard", done / "work", tmp_path / "thesis.docx")


def test_a_second_process_on_the_same_work_folder_is_refused(dataset, done):
    with (done / "work" / ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        refused = prep("filter", dataset.raw, done / "work", "--min-images", 10)
        assert "another in21k-prep is at work there" in one_line(refused)
    call("filter", dataset.raw, done / "work", "--min-images", 10)


def test_a_worker_that_is_killed_costs_nothing_but_time(long_dump, undisturbed, tmp_path):
    work, out = tmp_path / "work", tmp_path / "out"
    arguments = ("run", long_dump, work, out, *LONG, "--workers", 1)
    run = subprocess.Popen([*PREP, *map(str, arguments)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: any((work / "parts").glob("part-*[0-9].parquet")), run)
    [worker] = [pid for server in children(run.pid) for pid in children(server)]
    os.kill(worker, signal.SIGKILL)
    _, errors = run.communicate(timeout=60)
    assert run.returncode == 0, errors
    assert not lives(worker)
    assert digests(out) == undisturbed


def test_records_hold_no_time_and_the_counts_of_the_stage(done):
    record = json.loads((done / "work" / "split.json").read_bytes())
    assert record["stage"] == "split"
    assert record["counts"] == {"classes": 5, "train": 42, "val": 15, "rejected": 0}
    assert set(record) == {"stage", "parameters", "inputs", "counts", "outputs", "notes"}

"""A run's folder: never another command's, never two runs at once, and a failed start does not block the next one."""

import errno
import fcntl
import hashlib
import json
import os
import shutil
import signal
import subprocess
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from noting import kill_all
from processes import descendants, until
from train_runs import FIXED, answer, train_command, train_losses

from in21k.shards_manifest.manifest import HIERARCHY, MANIFEST, SAMPLES, TableFile, read_manifest
from in21k.shards_manifest.storage.location import locate
from in21k.train.config.settings import Config
from in21k.train.data.prepared.dataset import open_dataset
from in21k.train.errors import TrainError
from in21k.train.run.folder import begin_run, find_start
from in21k.train.run.lock import LOCK, RunLock

SHORT = [
    "--set",
    "model.start=any",
    "--model",
    "test_resnet",
    "--device",
    "cpu",
    "--workers",
    0,
    "--batch-size",
    20,
    "--epochs",
    1,
]


def content(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def recorded(dataset_folder, tmp_path) -> Path:
    """A dataset whose manifest records its tables, as those of `in21k-prep` do."""
    folder = tmp_path / "recorded"
    shutil.copytree(dataset_folder, folder)
    tables = {}
    for name in (HIERARCHY, SAMPLES):
        data = (folder / name).read_bytes()
        tables[name] = TableFile(pq.read_metadata(folder / name).num_rows, len(data), hashlib.sha256(data).hexdigest())
    (folder / MANIFEST).write_bytes(replace(read_manifest(locate(folder)), tables=tables).to_json())
    return folder


MARKED = {
    "manifest.json": "a prepared dataset",
    ".unfinished/begun.json": "a prepared dataset",
    "filter.json": "a work folder of in21k-prep",
    "report.html": "a report",
    "config.json": "an exported model",
}


@pytest.mark.parametrize("marker", MARKED)
@pytest.mark.parametrize("command", ["pretrain", "transfer", "probe"])
def test_a_folder_of_another_command_is_refused_before_anything_is_written(
    capsys, dataset_folder, tmp_path, command, marker
):
    run = tmp_path / "run"
    (run / marker).parent.mkdir(parents=True)
    (run / marker).write_text(json.dumps({"pretrained_cfg": {}}))
    (run / HIERARCHY).write_bytes(b"theirs")
    before = content(run)
    start = [] if command == "pretrain" else ["--checkpoint", "timm:test_resnet"]
    start += ["--probe"] if command == "probe" else []
    name = "pretrain" if command == "pretrain" else "transfer"
    status, _, err = answer(capsys, name, dataset_folder, *start, *SHORT, "--output", run)
    top = marker.split("/")[0]
    assert (status, err) == (1, f"in21k-train: error: {run} holds {top} of {MARKED[marker]}; give another --output\n")
    assert content(run) == before


def test_training_into_its_own_dataset_is_refused(capsys, recorded):
    before = content(recorded)
    status, _, err = answer(capsys, "pretrain", recorded, *SHORT, "--output", recorded)
    assert (status, err.count("\n")) == (1, 1)
    assert f"{recorded} holds manifest.json of a prepared dataset" in err
    assert content(recorded) == before


def test_a_file_that_a_run_would_overwrite_is_refused(capsys, dataset_folder, tmp_path):
    (tmp_path / HIERARCHY).write_bytes(b"theirs")
    status, _, err = answer(capsys, "pretrain", dataset_folder, *SHORT, "--output", tmp_path)
    assert (status, err.count("\n")) == (1, 1)
    assert f"{tmp_path} holds hierarchy.parquet and no run" in err
    assert [path.name for path in tmp_path.iterdir()] == [HIERARCHY]


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (HIERARCHY, lambda data: data[:-1] + bytes([data[-1] ^ 1]), "its SHA-256 is not the manifest's"),
        (HIERARCHY, lambda data: data + b"0", "bytes, not"),
        (SAMPLES, lambda data: data + b"0", "bytes, not"),
        (SAMPLES, lambda _: None, "the manifest records it"),
    ],
)
def test_a_table_that_changed_is_named(capsys, recorded, tmp_path, name, change, message):
    changed = change((recorded / name).read_bytes())
    (recorded / name).unlink()
    if changed is not None:
        (recorded / name).write_bytes(changed)
    status, _, err = answer(capsys, "pretrain", recorded, *SHORT, "--output", tmp_path / "run")
    assert (status, err.count("\n")) == (1, 1)
    assert err.startswith(f"in21k-train: error: {recorded / name}")
    assert message in err
    assert not (tmp_path / "run").exists()


def test_a_start_that_fails_does_not_block_the_corrected_command(capsys, recorded, tmp_path):
    run, shard = tmp_path / "run", recorded / "train" / "in21k-train-000001.tar"
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-1024])
    assert answer(capsys, "pretrain", recorded, *SHORT, "--output", run)[0] == 1
    assert (run / "config.json").exists()
    shard.write_bytes(whole)
    status, _, err = answer(capsys, "pretrain", recorded, *SHORT, "--lr", "1e-3", "--output", run)
    assert (status, err) == (0, "")
    assert json.loads((run / "config.json").read_text())["config"]["optim"]["lr"] == 1e-3


def test_the_rows_of_a_killed_run_without_a_checkpoint_are_not_lost(capsys, recorded, tmp_path):
    run, shard = tmp_path / "run", recorded / "train" / "in21k-train-000001.tar"
    shard.unlink()
    assert answer(capsys, "pretrain", recorded, *SHORT, "--output", run)[0] == 1
    with (run / "metrics.csv").open("a") as file:
        file.write("1,0.25,train,2.3" + "," * 11 + "0\n")
    status, _, err = answer(capsys, "pretrain", recorded, *SHORT, "--output", run)
    assert (status, err.count("\n")) == (1, 1)
    assert "already holds a run; pass --resume" in err


def test_a_second_run_is_refused_while_another_has_the_lock(capsys, dataset_folder, tmp_path):
    run = tmp_path / "run"
    assert answer(capsys, "pretrain", dataset_folder, *SHORT, "--output", run)[0] == 0
    lock = RunLock(run)
    assert lock.take()
    for resume in ([], ["--resume"]):
        status, _, err = answer(capsys, "pretrain", dataset_folder, *SHORT, "--output", run, *resume)
        assert (status, err.count("\n")) == (1, 1)
        assert f"{run}: another run is at work there" in err
    lock.release()
    assert answer(capsys, "pretrain", dataset_folder, *SHORT, "--output", run, "--resume")[0] == 0


@pytest.mark.guard
def test_a_second_run_is_refused_while_the_first_lives_and_only_then(capsys, dataset_folder, tmp_path):
    run = tmp_path / "run"
    options = [*FIXED, "--epochs", 4000, "--batch-size", 12, "--workers", 1, "--output", run]
    command = train_command("pretrain", dataset_folder, *options)
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        until(lambda: (run / "metrics.csv").exists() and max(train_losses(run), default=0) >= 1)
        for resume in ([], ["--resume"]):
            status, _, err = answer(capsys, "pretrain", dataset_folder, *options, *resume)
            assert (status, err.count("\n")) == (1, 1)
            assert f"{run}: another run is at work there" in err
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        lock = RunLock(run)
        assert lock.take()  # although its loader process may not have noticed yet
        lock.release()
    finally:
        if process.poll() is None:
            kill_all(process, descendants(process.pid))


def test_a_file_system_without_locks_is_noted(capsys, monkeypatch, tmp_path):
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    lock = RunLock(tmp_path / "run")
    assert lock.take()
    lock.release()
    assert capsys.readouterr().err.startswith(f"note: {tmp_path / 'run'}: its file system has no locks")
    assert (tmp_path / "run" / LOCK).exists()


def test_a_run_that_began_in_the_meantime_is_not_overwritten(dataset_folder, tmp_path):
    run, data, config = tmp_path / "run", open_dataset(str(dataset_folder)), Config()
    start = find_start(run, config, data, resume=False)
    first, second = RunLock(run), RunLock(run)
    begin_run(run, start, config, data, first, resume=False)
    before = content(run)
    with pytest.raises(TrainError, match="another run is at work there"):
        begin_run(run, start, Config(), data, second, resume=False)
    (run / "summary.json").touch()
    first.release()
    with pytest.raises(TrainError, match="already holds a run"):
        begin_run(run, start, config, data, second, resume=False)
    second.release()
    assert content(run) == {**before, run / "summary.json": b""}

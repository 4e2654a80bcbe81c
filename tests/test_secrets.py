"""What gives access to an object store is in the command line alone: nothing prints it, nothing keeps it."""

import pickle
import shutil
import subprocess

import pyarrow.fs as pafs
import pytest
from commands import digests, prep
from dumps import PIPELINE
from object_store import KEY, SECRET, Server
from train_runs import FIXED, run_train

from in21k.shards_manifest.errors import DatasetError, without_secrets
from in21k.shards_manifest.storage.location import locate


@pytest.fixture
def store(dataset, tmp_path, monkeypatch):
    """A server with the dump in the bucket `b` and the dataset in `whole`; its URIs name the key and the secret."""
    monkeypatch.setenv("AWS_REQUEST_CHECKSUM_CALCULATION", "when_required")
    monkeypatch.setenv("IN21K_RETRY_SECONDS", "5")
    bucket = tmp_path / "served" / "b"
    bucket.mkdir(parents=True)
    shutil.copy(dataset.raw, bucket / "small.tar")
    shutil.copytree(dataset.out, tmp_path / "served" / "whole")
    server = Server(tmp_path / "served")
    server.bucket = bucket
    yield server
    server.kill()


def said(run: subprocess.CompletedProcess[str], code: int = 0) -> str:
    """Return all that a command printed, which names neither the key nor the secret."""
    assert run.returncode == code, run.stderr
    printed = run.stdout + run.stderr
    assert KEY not in printed
    assert SECRET not in printed
    return printed


def kept(*folders) -> list[str]:
    """Return the files that hold the key or the secret."""
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    return [str(path) for path in files if any(word.encode() in path.read_bytes() for word in (KEY, SECRET))]


def test_prep_prints_and_keeps_no_secret(dataset, store, tmp_path):
    raw, out, work = store.uri.format("b/small.tar"), store.uri.format("b/out"), tmp_path / "work"
    run = ("run", raw, work, out, *PIPELINE, "--workers", 2)
    assert "s3://b/out?scheme=http" in said(prep(*run))
    assert digests(store.bucket / "out", "[!.]*") == digests(dataset.out, "[!.]*")
    said(prep(*run, "--json"))
    whole = store.uri.format("whole")
    for command in (["verify", whole, "--deep"], ["inspect", whole], ["compare", whole, dataset.out]):
        said(prep(*command))
    said(prep("verify", store.uri.format("b/none")), 1)
    said(prep("--debug", "verify", store.uri.format("nowhere/out")), 1)
    said(prep("filter", store.uri.format("b/none.tar"), tmp_path / "other"), 1)
    said(prep("report", store.uri.format("b/none"), "--output", tmp_path / "report"), 1)
    assert kept(work, store.bucket.parent) == []


def test_a_stage_goes_on_with_other_credentials_for_the_same_dump(store, tmp_path, monkeypatch):
    bare, work = without_secrets(store.uri).format("b/small.tar"), tmp_path / "work"
    said(prep("filter", store.uri.format("b/small.tar"), work, "--min-images", 10))
    said(prep("split", work, "--val-per-class", 3))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    before = (work / "filter.json").read_bytes()
    said(prep("filter", bare, work, "--min-images", 10))
    said(prep("resize", work, "--size", 16, "--workers", 1))
    assert (work / "filter.json").read_bytes() == before


def test_a_work_folder_that_kept_a_secret_loses_it(store, tmp_path):
    uri, work = store.uri.format("b/small.tar"), tmp_path / "work"
    said(prep("filter", uri, work, "--min-images", 10))
    record = work / "filter.json"
    record.write_text(record.read_text().replace(without_secrets(uri), uri))
    assert kept(work)
    said(prep("filter", uri, work, "--min-images", 10))
    assert kept(work) == []


@pytest.mark.slow  # three starts of PyTorch
def test_the_trainer_prints_and_keeps_no_secret(store, tmp_path):
    data, run = store.uri.format("whole"), tmp_path / "run"
    small = ("--workers", 1, "--device", "cpu", "--cache", tmp_path / "cache")
    said(run_train("pretrain", data, "--output", run, *FIXED, "--epochs", 1, "--batch-size", 21, *small[:2]))
    said(run_train("evaluate", data, "--checkpoint", run, *small))
    said(run_train("transfer", store.uri.format("b/none"), "--checkpoint", run, "--output", tmp_path / "to"), 1)
    said(run_train("--debug", "pretrain", store.uri.format("nowhere/x"), "--output", tmp_path / "no", *FIXED), 1)
    assert kept(run, tmp_path / "cache") == []


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("s3://key:secret@b/x", "s3://b/x"),
        ("s3://key:se%2Fcret@b/x@2?region=r", "s3://b/x@2?region=r"),
        ("s3://key:sec/ret@b/x", "s3://b/x"),
        ("s3:/key:secret@b/x", "s3:/b/x"),
        ("s3://b/x?access_key=key&secret_key=secret&scheme=http", "s3://b/x?scheme=http"),
        ("s3://b/x?scheme=http&session_token=secret", "s3://b/x?scheme=http"),
        ("s3://b/x?scheme=http&X-Amz-Signature=secret&region=r", "s3://b/x?scheme=http&region=r"),
        ("s3://b/x?SECRET_KEY=secret", "s3://b/x"),
        ("two: 's3://key:secret@b/x?session_token=secret', https://b/y?a=1", "two: 's3://b/x', https://b/y?a=1"),
        ("a path: /home/me@work/x?key=1", "a path: /home/me@work/x?key=1"),
    ],
)
def test_secrets_are_left_out_of_uris(typed, shown):
    assert without_secrets(typed) == shown
    assert str(DatasetError(typed)) == shown


@pytest.mark.parametrize(
    "typed", ["s3://key:secret@b/x?access_key=secret", "s3://key:sec/secret@b/x", "no://k:secret@b"]
)
def test_pyarrow_quotes_no_secret_of_a_uri_that_it_refuses(typed):
    with pytest.raises(DatasetError) as refused:
        locate(typed)
    assert "secret@" not in str(refused.value)
    assert "=secret" not in str(refused.value)


def test_a_location_that_went_to_another_process_still_has_access():
    location = locate("s3://key:secret@b/x?region=r&scheme=http&endpoint_override=127.0.0.1:9")
    again = pickle.loads(pickle.dumps(location))
    assert isinstance(again.filesystem, pafs.S3FileSystem)
    assert again.filesystem.__reduce__()[1][0]["secret_key"] == "secret"
    assert "secret" not in again.text

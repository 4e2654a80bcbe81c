"""Dumps that lie on the Hugging Face hub, or wherever else fsspec reads."""

import io
import os

import pytest
from commands import RefusedError, call, digests, one_line, prep
from dumps import KEPT, PIPELINE, images_of
from fake_hub import DATASET, hub
from forms import class_folders, hub_shards, parquet_files, tar_gz_parts, zipped

FILES = {wnid: images_of(wnid, count) for wnid, count in KEPT.items()}
OPTIONS = (*PIPELINE, "--workers", 1)


def content(out):
    return digests(out, "*/*.tar") | digests(out, "*.parquet")


@pytest.fixture(scope="module")
def wanted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("by-class")
    class_folders(folder / "raw", FILES)
    call("run", folder / "raw", folder / "work", folder / "out", *OPTIONS)
    return content(folder / "out")


def run_from_hub(folder, path, tmp_path, *, failing=0):
    with hub(folder, failing=failing) as endpoint:
        environment = {**os.environ, "HF_ENDPOINT": endpoint, "HF_HOME": str(tmp_path / "hf"), "HF_TOKEN": "hf_secret"}
        uri = f"hf://datasets/{DATASET}{path}"
        return prep("run", uri, tmp_path / "work", tmp_path / "out", *OPTIONS, cold=True, env=environment)


@pytest.mark.parametrize("failing", [0, 5], ids=["calm", "with broken reads"])
def test_shards_on_the_hub_are_read_where_they_lie(failing, wanted, tmp_path):
    hub_shards(tmp_path / "hub", FILES)
    run = run_from_hub(tmp_path / "hub", "", tmp_path, failing=failing)
    assert run.returncode == 0, run.stderr
    assert content(tmp_path / "out") == wanted
    assert "hf_secret" not in (tmp_path / "work/filter.json").read_text()


def test_parquet_files_on_the_hub_are_read_where_they_lie(wanted, tmp_path):
    parquet_files(tmp_path / "hub/data", FILES)
    run = run_from_hub(tmp_path / "hub", "/data", tmp_path)
    assert run.returncode == 0, run.stderr
    assert content(tmp_path / "out") == wanted


@pytest.mark.parametrize(
    ("make", "path"),
    [
        (lambda folder: zipped(folder / "raw.zip", FILES), "/raw.zip"),
        (lambda folder: tar_gz_parts(folder, FILES), ""),
        (lambda folder: tar_gz_parts(folder, FILES), "/imagenet21k.tar.gz.*"),
    ],
    ids=["zip", "folder of pieces", "pattern of pieces"],
)
def test_other_forms_on_the_hub(make, path, wanted, tmp_path):
    (tmp_path / "hub").mkdir()
    make(tmp_path / "hub")
    run = run_from_hub(tmp_path / "hub", path, tmp_path)
    assert run.returncode == 0, run.stderr
    assert content(tmp_path / "out") == wanted


def test_a_dataset_that_is_not_there_is_one_line(tmp_path):
    (tmp_path / "hub").mkdir()
    run = run_from_hub(tmp_path / "hub", "s-other", tmp_path)
    assert "there is no such file or folder" in one_line(run)


@pytest.mark.usefixtures("inline")
def test_any_file_system_of_fsspec_serves(wanted, tmp_path):
    import fsspec

    hub_shards(tmp_path / "hub", FILES)
    memory = fsspec.filesystem("memory")
    memory.put(str(tmp_path / "hub"), "/raw", recursive=True)
    try:
        call("run", "memory://raw", tmp_path / "work", tmp_path / "out", *OPTIONS)
    finally:
        memory.rm("/raw", recursive=True)
    assert content(tmp_path / "out") == wanted
    with pytest.raises(RefusedError, match="memory://nothing: there is no such file or folder"):
        call("filter", "memory://nothing", tmp_path / "other")


@pytest.mark.usefixtures("inline")
def test_whatever_a_library_raises_is_tried_again(wanted, tmp_path, monkeypatch):
    """As httpx does, whose errors are no errors of the system."""
    import fsspec
    from fsspec.implementations.memory import MemoryFile

    hub_shards(tmp_path / "hub", FILES)
    memory = fsspec.filesystem("memory")
    memory.put(str(tmp_path / "hub"), "/raw", recursive=True)
    reads = []

    def read(file, size=-1):
        reads.append(size)
        if len(reads) % 7 == 0:
            raise RuntimeError("the server hung up")
        return io.BytesIO.read(file, size)

    monkeypatch.setattr(MemoryFile, "read", read, raising=False)
    try:
        call("run", "memory://raw", tmp_path / "work", tmp_path / "out", *OPTIONS)
    finally:
        memory.rm("/raw", recursive=True)
    assert len(reads) > 7
    assert content(tmp_path / "out") == wanted

"""Datasets whose files and folders are not what they should be: links, FIFOs, keys that lead elsewhere."""

import dataclasses
import json
import os
import shutil

import pytest
from commands import RefusedError, call, digests, one_line, prep
from damage import change_samples

from in21k.prep.dataset.inspect import inspect_sample, save_images
from in21k.prep.errors import PrepError
from in21k.shards_manifest.manifest import HIERARCHY, SAMPLES
from in21k.shards_manifest.storage.location import locate


@pytest.fixture
def copy(dataset, tmp_path):
    return shutil.copytree(dataset.out, tmp_path / "copy")


@pytest.fixture
def elsewhere(copy, tmp_path):
    """The folder of train shards, moved out of the dataset, with a link in its place."""
    folder = (copy / "train").rename(tmp_path / "elsewhere")
    (copy / "train").symlink_to(folder)
    return folder


@pytest.mark.parametrize("key", ["../../outside", "/tmp/outside", "a/b", "", "a\0b", "é", "x" * 101])
def test_a_key_that_is_no_plain_name_is_refused_wherever_the_table_is_read(copy, tmp_path, key):
    def set_key(columns):
        columns["key"][0] = key

    change_samples(set_key)(copy)
    before = digests(tmp_path)
    (finding,) = [finding for finding in call_verify(copy) if finding["path"] == SAMPLES]
    assert finding["code"] == "E106"
    assert "a key is at most 100 of the characters" in finding["message"]
    with pytest.raises(RefusedError, match=r"samples\.parquet: train/.*\.tar has the key '"):
        call("inspect", copy, "--key", key or "x", "--save", tmp_path / "in" / "here")
    assert digests(tmp_path) == before
    with pytest.raises(RefusedError, match=r"samples\.parquet: train/.*\.tar has the key '"):
        call("sidecars", copy)


def test_an_image_is_saved_in_the_folder_or_not_at_all(dataset, tmp_path):
    location = locate(dataset.out)
    sample = inspect_sample(location, "n02084071_7").sample
    for key in ("../outside", "below/it", str(tmp_path / "outside")):
        with pytest.raises(PrepError, match="leads out of"):
            save_images(location, (dataclasses.replace(sample, key=key),), tmp_path / "in")
    assert digests(tmp_path) == {}


def call_verify(folder):
    return json.loads(prep("verify", folder, "--quick", "--json").stdout)["findings"]


def test_nothing_is_written_through_a_linked_folder(dataset, copy, elsewhere):
    next(elsewhere.glob("*.idx")).unlink()
    before = digests(elsewhere)
    line = "train is a symbolic link, and nothing is written through one"
    with pytest.raises(RefusedError, match=line):
        call("sidecars", copy)
    with pytest.raises(RefusedError, match=line):
        call("repair", dataset.work, copy, "--workers", 1)
    assert digests(elsewhere) == before


def test_nothing_is_written_through_a_linked_folder_when_there_is_no_manifest(dataset, copy, elsewhere):
    (copy / "manifest.json").unlink()
    (copy / ".unfinished").symlink_to(elsewhere)
    before = digests(elsewhere)
    for command in ("repair", "shard"):
        with pytest.raises(RefusedError, match="is a symbolic link"):
            call(command, dataset.work, copy, "--workers", 1)
    assert digests(elsewhere) == before


def test_copies_of_shards_behind_a_link_are_not_deleted(dataset, copy, tmp_path):
    backup = shutil.copytree(dataset.out, tmp_path / "backup")
    (copy / "backup").symlink_to(backup)
    before = digests(backup)
    (copy / "README.md").unlink()
    assert call("repair", dataset.work, copy, "--workers", 1)["deleted"] == []
    assert digests(backup) == before


def test_verify_names_the_link(copy, elsewhere):
    assert {(finding["code"], finding["message"]) for finding in call_verify(copy) if "tar" in finding["path"]} == {
        ("E102", "train is a symbolic link")
    }


def test_a_dataset_may_be_reached_through_a_link(copy, tmp_path):
    (tmp_path / "link").symlink_to(copy)
    (copy / "README.md").unlink()
    assert call("sidecars", tmp_path / "link")["written"] == 1
    assert call_verify(tmp_path / "link") == []


def test_a_fifo_in_a_shards_place_is_a_line_and_does_not_wait(dataset, copy):
    shard = dataset.manifest.splits["val"][0].path
    (copy / shard).unlink()
    os.mkfifo(copy / shard)
    assert "is not a regular file" in one_line(prep("inspect", copy, "--class", "dog", "--save", copy / "images"))
    assert ("E102", shard) in {(finding["code"], finding["path"]) for finding in call_verify(copy)}


@pytest.mark.parametrize("name", ["manifest.json", HIERARCHY, SAMPLES])
def test_a_fifo_in_a_tables_place_is_a_line_and_does_not_wait(copy, name):
    (copy / name).unlink()
    os.mkfifo(copy / name)
    one_line(prep("inspect", copy, "--class", "dog"))


def test_a_fifo_in_a_locks_place_is_a_line_and_does_not_wait(dataset, copy, tmp_path):
    work = shutil.copytree(dataset.work, tmp_path / "work")
    (copy / "README.md").unlink()
    (work / ".lock").unlink(missing_ok=True)
    os.mkfifo(work / ".lock")
    assert "is not a regular file" in one_line(prep("repair", work, copy, "--workers", "1"))

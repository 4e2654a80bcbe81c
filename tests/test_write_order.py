"""Files appear whole after a crash too: their bytes are on the disk before they have their name."""

import os
import re
from pathlib import Path

import pytest
from processes import until
from small_dataset import write_dataset
from streams import remote_source

from in21k.shards_manifest.storage.local_files import write_atomic
from in21k.train.config.overrides import with_values
from in21k.train.config.settings import Config
from in21k.train.data.interfaces import CacheOptions
from in21k.train.data.prepared.cache import ShardCache
from in21k.train.trainer.loop import pretrain


@pytest.fixture
def calls(monkeypatch) -> list[str]:
    """The calls that make bytes and names last, in order, with the file's own name."""
    found: list[str] = []
    fsync, replace, rename = os.fsync, os.replace, os.rename

    def own(path) -> str:
        return re.sub(r"^\.tmp-([0-9a-f]{8}-)?", "", Path(path).name)

    def noted_fsync(descriptor: int) -> None:
        found.append(f"sync {own(Path(f'/proc/self/fd/{descriptor}').readlink())}")
        fsync(descriptor)

    def noted(act):
        def move(source, target, **options) -> None:
            found.append(f"name {Path(target).name}")
            act(source, target, **options)

        return move

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "replace", noted(replace))
    monkeypatch.setattr(os, "rename", noted(rename))
    return found


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path, calls):
    write_atomic(tmp_path / "a", b"content")
    assert calls == ["sync a", "name a"]


def test_a_file_is_not_named_if_it_does_not_reach_the_disk(tmp_path, monkeypatch):
    def fail(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(Exception, match="Input/output error"):
        write_atomic(tmp_path / "a", b"content")
    assert list(tmp_path.iterdir()) == []


TINY = {
    "model.name": "test_resnet",
    "optim.epochs": 1,
    "data.batch_size": 20,
    "data.eval_batch_size": 8,
    "run.workers": 0,
    "run.device": "cpu",
}


def test_a_checkpoint_is_on_the_disk_before_it_has_its_name_and_its_name_is_kept(tmp_path, calls):
    data = write_dataset(tmp_path / "data", train=(20,), val=(4,))
    pretrain(str(data), tmp_path / "run", with_values(Config(), TINY), progress=False)
    named = calls.index("name step-00000001")  # by a thread of its own, while the run writes other files
    files = {"sync model.safetensors", "sync optimizer.safetensors", "sync state.json", "sync step-00000001"}
    assert files <= set(calls[:named])
    assert "sync checkpoints" in calls[named:]


def test_a_cached_shard_is_on_the_disk_before_it_has_its_name(tmp_path, calls):
    source = remote_source(write_dataset(tmp_path / "data"))
    manifest = source.open_reader.manifest
    shard = manifest.splits["train"][0]
    cache = ShardCache(CacheOptions(str(tmp_path / "cache"), 1 << 30), manifest)
    until(lambda: opened(cache.open(shard, source.open_reader.location.child(shard.path), False)))
    cache.close()
    name = Path(shard.path).name
    [at] = [number for number, call in enumerate(calls) if call.startswith("name ") and call.endswith(name)]
    assert calls[at - 1].startswith("sync ")
    assert calls[at - 1].endswith(name)


def opened(file) -> bool:
    """Return whether there is an open file, and close it."""
    if file is not None:
        file.close()
    return file is not None

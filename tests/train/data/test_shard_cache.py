"""The shard cache: bounded, shared by processes, intact after a kill."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import threading
import time
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path

import pytest
import warm
from streams import equal, remote_source, source_of, stream

from in21k.shards_manifest.errors import DatasetError
from in21k.train.data.interfaces import CacheOptions, ReadOptions
from in21k.train.data.prepared.cache import ShardCache, usable_cache
from in21k.train.errors import TrainError

READER = """
import sys, time
from pathlib import Path
from streams import remote_source
from in21k.train.data.prepared.cache import ShardCache
from in21k.train.data.interfaces import CacheOptions
folder, cache, limit, rounds = sys.argv[1:]
source = remote_source(Path(folder))
cache = ShardCache(CacheOptions(cache, int(limit)), source.open_reader.manifest)
shards = source.open_reader.manifest.splits["train"]
print("ready", flush=True)
sys.stdin.readline()
for number in range(int(rounds)):
    shard = shards[number % len(shards)]
    location = source.open_reader.location.child(shard.path)
    for _ in range(200):
        if (opened := cache.open(shard, location, True)) is not None:
            assert opened.read(0, shard.bytes) == location.read_bytes(), "other content"
            opened.close()
            break
        time.sleep(0.002)
cache.close()
print("done")
"""

SUPPORT = Path(__file__).parents[2] / "support"


def reader(folder: Path, cache: Path, limit: int, rounds: int) -> "subprocess.Popen[str]":
    code = f"import sys; sys.path[:0] = {[str(SUPPORT)]!r}\n{READER}"
    arguments = warm.python("-c", code, folder, cache, limit, rounds)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(arguments, text=True, **pipes)


def lengths(source) -> list[int]:
    return [shard.bytes for shard in source.open_reader.manifest.splits["train"]]


def used(cache: Path) -> int:
    """The bytes in a cache at one moment: no room is made under its lock, and a file that is renamed counts once."""
    sizes: dict[int, int] = {}
    with ExitStack() as stack:
        for lock in cache.glob("in21k-cache/.lock"):
            fcntl.flock(stack.enter_context(lock.open("rb")), fcntl.LOCK_EX)
        for path in cache.rglob("*.tar"):
            if not path.name.startswith(".lock"):
                with suppress(FileNotFoundError):
                    found = path.stat()
                    sizes[found.st_ino] = found.st_size
    return sum(sizes.values())


def fill(cache: ShardCache, source, number: int) -> None:
    shard = source.open_reader.manifest.splits["train"][number]
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if (opened := cache.open(shard, source.open_reader.location.child(shard.path), False)) is not None:
            opened.close()
            return
        time.sleep(0.001)
    raise AssertionError("the shard was never cached")


def cached(cache: Path) -> list[int]:
    return sorted(int(path.stem[-6:]) for path in cache.rglob("*.tar") if not path.name.startswith((".lock", ".tmp")))


def read_until(reached, source) -> None:
    """Read again and again: copies are made beside the reading, which may end first."""
    deadline = time.monotonic() + 60
    while not reached():
        assert time.monotonic() < deadline
        stream(source, epochs=3)


def test_batches_are_the_same_with_a_cache(dataset_folder, tmp_path):
    source = remote_source(dataset_folder)
    options = ReadOptions(CacheOptions(str(tmp_path / "cache"), 10**9), verify_digest=True)
    through = replace(source, open_reader=replace(source.open_reader, options=options))
    expected = stream(source_of(dataset_folder), epochs=3)
    assert equal(stream(through, epochs=3), expected)
    assert equal(stream(through, epochs=3, workers=2), expected)
    read_until(lambda: cached(tmp_path / "cache") == [0, 1, 2, 3, 4], through)
    assert equal(stream(through, epochs=3), expected)


def test_the_least_recently_used_shard_is_evicted(dataset_folder, tmp_path):
    source = remote_source(dataset_folder)
    sizes = lengths(source)
    cache = ShardCache(CacheOptions(str(tmp_path), sizes[1] + sizes[2] + sizes[3]), source.open_reader.manifest)
    for number in (1, 2, 3):
        fill(cache, source, number)
    fill(cache, source, 1)  # used again
    fill(cache, source, 0)
    assert 1 in cached(tmp_path)
    assert 2 not in cached(tmp_path)
    assert used(tmp_path) <= sizes[1] + sizes[2] + sizes[3]
    cache.close()


def test_a_shard_in_use_is_not_evicted(dataset_folder, tmp_path):
    source = remote_source(dataset_folder)
    sizes = lengths(source)
    cache = ShardCache(CacheOptions(str(tmp_path), sizes[1] + 100), source.open_reader.manifest)
    fill(cache, source, 1)
    shards = source.open_reader.manifest.splits["train"]
    held = cache.open(shards[1], source.open_reader.location.child(shards[1].path), False)
    assert cache.open(shards[2], source.open_reader.location.child(shards[2].path), False) is None
    time.sleep(0.2)
    assert cached(tmp_path) == [1]
    held.close()
    fill(cache, source, 2)
    assert cached(tmp_path) == [2]
    cache.close()


def test_no_shard_changes_its_name_while_another_process_counts(dataset_folder, tmp_path, monkeypatch):
    source, copy, copied = remote_source(dataset_folder), ShardCache._copy, threading.Event()
    cache = ShardCache(CacheOptions(str(tmp_path), 10**9), source.open_reader.manifest)
    monkeypatch.setattr(ShardCache, "_copy", lambda *given: (copy(*given), copied.set(), counted.wait(60)))
    counted, shard = threading.Event(), source.open_reader.manifest.splits["train"][1]
    cache.open(shard, source.open_reader.location.child(shard.path), False)
    assert copied.wait(60)
    with (tmp_path / "in21k-cache" / ".lock").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        counted.set()
        time.sleep(0.3)
        assert cached(tmp_path) == []
    fill(cache, source, 1)
    cache.close()


@pytest.mark.parametrize("killed", [pytest.param(False, marks=pytest.mark.guard), True])
def test_processes_share_the_cache_within_its_limit(dataset_folder, tmp_path, killed):
    source = remote_source(dataset_folder)
    sizes = lengths(source)
    limit = sizes[1] + sizes[3]
    processes = [reader(dataset_folder, tmp_path / "cache", limit, 60) for _ in range(3)]
    for process in processes:
        assert process.stdout.readline() == "ready\n", process.stderr.read()
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    most, count = 0, 0
    while any(process.poll() is None for process in processes):
        most = max(most, used(tmp_path / "cache"))
        count += 1
        if killed and count == 20:
            processes[0].send_signal(signal.SIGKILL)
        time.sleep(0.005)
    assert most <= limit
    assert not killed or processes[0].returncode == -signal.SIGKILL
    for process in processes[killed:]:
        output, errors = process.communicate()
        assert output.endswith("done\n"), errors
    with usable_cache(CacheOptions(str(tmp_path / "cache"), limit), source.open_reader.manifest):
        assert not list((tmp_path / "cache").rglob(".tmp-*"))
        for path in (tmp_path / "cache").rglob("*.tar"):
            if not path.name.startswith(".lock"):
                name = path.name.removeprefix("train-")
                assert path.read_bytes() == (dataset_folder / "train" / name).read_bytes()


def test_what_a_killed_process_leaves_is_removed(dataset_folder, tmp_path):
    source = remote_source(dataset_folder)
    options = CacheOptions(str(tmp_path), 10**9)
    cache = ShardCache(options, source.open_reader.manifest)
    fill(cache, source, 0)
    cache.close()
    (whole,) = [path for path in tmp_path.rglob("*.tar") if not path.name.startswith(".lock")]
    left = whole.with_name(".tmp-train-in21k-train-000003.tar")
    left.write_bytes(bytes(100))
    whole.write_bytes(whole.read_bytes()[:-512])  # as a power failure may leave it
    with usable_cache(options, source.open_reader.manifest):
        assert not left.exists()
        again = ShardCache(options, source.open_reader.manifest)
        fill(again, source, 0)
        again.close()
    assert whole.stat().st_size == lengths(source)[0]


def test_a_shard_that_differs_from_its_digest_is_an_error(dataset_folder, tmp_path):
    folder = tmp_path / "data"
    shutil.copytree(dataset_folder, folder)
    path = folder / "train/in21k-train-000003.tar"
    content = bytearray(path.read_bytes())
    content[900] ^= 255
    path.write_bytes(content)
    source = remote_source(folder)
    options = ReadOptions(CacheOptions(str(tmp_path / "cache"), 10**9), verify_digest=True)
    through = replace(source, open_reader=replace(source.open_reader, options=options))
    with pytest.raises(TrainError, match=r"the SHA-256 of \S*in21k-train-000003.tar is not the manifest's"):
        read_until(lambda: False, through)
    assert 3 not in cached(tmp_path / "cache")
    assert not list((tmp_path / "cache").rglob(".tmp-*"))


def test_an_unusable_cache_is_one_line(dataset_folder, tmp_path):
    manifest = source_of(dataset_folder).open_reader.manifest
    with pytest.raises(TrainError, match=r"a shard of \d+ bytes does not fit into a cache of 1000; give a larger"):
        ShardCache(CacheOptions(str(tmp_path), 1000), manifest)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DatasetError, match="file") as caught:
        ShardCache(CacheOptions(str(tmp_path / "file" / "cache"), 10**9), manifest)
    assert "\n" not in str(caught.value)
    if os.access("/proc/self", os.X_OK) and not Path("/proc/cache").exists():
        with pytest.raises(DatasetError, match="/proc/cache"):
            ShardCache(CacheOptions("/proc/cache", 10**9), manifest)


def test_what_the_user_keeps_in_the_folder_is_neither_deleted_nor_counted(dataset_folder, tmp_path):
    source, cache, elsewhere = remote_source(dataset_folder), tmp_path / "cache", tmp_path / "elsewhere"
    sizes = lengths(source)
    options = CacheOptions(str(cache), sizes[1] + 100)
    ShardCache(options, source.open_reader.manifest).close()
    (own,) = (path.parent for path in cache.rglob("shards.json"))
    name = "train-in21k-train-000003.tar"
    users = [
        elsewhere / "train2017.tar",
        elsewhere / ".tmp-notes.tar",
        elsewhere / "shards.json",
        elsewhere / name,
        cache / "coco" / "train2017.tar",
        cache / ("0" * 32) / f".tmp-{name}",  # as a cache of an older version has it
        own / "train2017.tar",
        own.parent / "coco" / "train2017.tar",
    ]
    for path in users:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(2 * sizes[1]))
        os.utime(path, (1, 1))
    users[2].write_text(json.dumps({"shards": ["train2017.tar", "notes.tar", name]}))
    (cache / "linked").symlink_to(elsewhere)
    (own.parent / "linked").symlink_to(elsewhere)
    (own / f".tmp-{name}").symlink_to(users[0])
    before = {path: path.read_bytes() for path in users}
    with usable_cache(options, source.open_reader.manifest):
        again = ShardCache(options, source.open_reader.manifest)
        fill(again, source, 1)
        fill(again, source, 2)
        again.close()
    assert {path: path.read_bytes() for path in users if path.exists()} == before
    assert not (own / "train-in21k-train-000001.tar").exists()


@pytest.mark.parametrize("kind", ["link", "fifo", "folder"])
def test_what_only_has_the_name_of_a_shard_is_one_line(dataset_folder, tmp_path, kind):
    source = remote_source(dataset_folder)
    cache = ShardCache(CacheOptions(str(tmp_path / "cache"), 10**9), source.open_reader.manifest)
    shard = source.open_reader.manifest.splits["train"][0]
    (own,) = (path.parent for path in (tmp_path / "cache").rglob("shards.json"))
    place, photos = own / "train-in21k-train-000000.tar", tmp_path / "photos.tar"
    photos.write_bytes(b"photos")
    {"link": lambda: place.symlink_to(photos), "fifo": lambda: os.mkfifo(place), "folder": place.mkdir}[kind]()
    with pytest.raises(TrainError, match=f"{place} is not the cache's own; move it away"):
        cache.open(shard, source.open_reader.location.child(shard.path), False)
    assert photos.read_bytes() == b"photos"
    cache.close()


@pytest.mark.parametrize("kind", ["link", "unmarked", "other mark"])
def test_a_folder_that_only_has_the_name_of_the_cache_is_one_line(dataset_folder, tmp_path, kind):
    manifest = source_of(dataset_folder).open_reader.manifest
    own, photos = tmp_path / "cache" / "in21k-cache", tmp_path / "photos"
    photos.mkdir()
    own.parent.mkdir()
    if kind == "link":
        own.symlink_to(photos)
    else:
        own.mkdir()
        (own / ("CACHEDIR.TAG" if kind == "other mark" else "photos.tar")).write_bytes(b"mine")
    with pytest.raises(TrainError, match=f"{own} is not the cache's own; move it away"):
        ShardCache(CacheOptions(str(own.parent), 10**9), manifest)
    assert not list(photos.iterdir())
    assert kind == "link" or len(list(own.iterdir())) == 1

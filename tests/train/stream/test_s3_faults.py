"""Streams from a real S3 server that fails: the same batches as from local disk, or one clear error in time."""

import re
import shutil
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from fault_proxy import Faults, faulty
from object_store import Server
from streams import AUGMENTATION, equal, source_of, stream, train_plan

from in21k.shards_manifest.errors import DatasetError
from in21k.shards_manifest.storage import remote
from in21k.shards_manifest.storage.location import locate
from in21k.shards_manifest.storage.ranges import RemoteRanges
from in21k.train.stream.loader import open_stream


@pytest.fixture
def server(dataset_folder, tmp_path, monkeypatch):
    """A server whose bucket holds the dataset."""
    monkeypatch.setenv("IN21K_RETRY_SECONDS", "30")
    monkeypatch.setattr(remote, "_FIRST_DELAY", 0.005)
    shutil.copytree(dataset_folder, tmp_path / "served" / "bucket" / "data")
    server = Server(tmp_path / "served")
    yield server
    server.kill()


def uri(server: Server, port: int | None = None) -> str:
    text = server.uri.format("bucket/data")
    return text.replace(f":{server.port}", f":{port}") if port else text


@pytest.mark.parametrize("workers", [0, 2])
def test_a_healthy_store_gives_the_same_batches_as_the_disk(server, dataset_folder, workers):
    expected = stream(source_of(dataset_folder, augmentation=AUGMENTATION), epochs=2)
    assert equal(stream(source_of(uri(server), augmentation=AUGMENTATION), epochs=2, workers=workers), expected)


@pytest.mark.parametrize(
    "faults",
    [
        pytest.param(Faults(refused=0.2), id="503", marks=pytest.mark.slow),
        pytest.param(Faults(cut=0.3), id="cut", marks=pytest.mark.slow),
        pytest.param(Faults(refused=0.2, cut=0.2), id="both"),
    ],
)
def test_a_failing_store_gives_the_same_batches_as_the_disk(server, dataset_folder, faults):
    expected = stream(source_of(dataset_folder), epochs=3)
    with faulty(server.port, faults) as port:
        assert equal(stream(source_of(uri(server, port)), epochs=3), expected)
    assert faults.seen["cut"] + faults.seen["refused"] > 5


def test_a_read_continues_at_the_byte_it_reached(server):
    """Half of all bodies are cut, and yet little is read twice."""
    path = "train/in21k-train-000001.tar"
    faults = Faults(cut=0.5)
    with faulty(server.port, faults) as port:
        location = locate(uri(server, port)).child(path)
        ranges = location.open_ranges()
        contents = [ranges.read(0, ranges.size) for _ in range(8)]
    expected = locate(uri(server)).child(path).read_bytes()
    assert contents == [expected] * 8
    assert faults.seen["cut"] > 3
    assert faults.seen["bytes"] < 12 * len(expected)


def test_a_server_that_is_killed_and_restarted_is_waited_for(server, dataset_folder):
    expected = stream(source_of(dataset_folder), epochs=4)
    source = source_of(uri(server))

    def kill_and_restart():
        server.kill()
        time.sleep(1.5)
        server.start()

    found, restart = [], threading.Thread(target=kill_and_restart)
    for number, batch in enumerate(open_stream(source, train_plan(source, epochs=4))):
        found.append(batch)
        if number == 7:
            restart.start()
            time.sleep(0.2)
    restart.join()
    assert equal(found, expected)


def test_a_server_that_is_gone_for_good_is_one_error_that_names_shard_and_uri(server, monkeypatch):
    monkeypatch.setenv("IN21K_RETRY_SECONDS", "3")
    source = source_of(uri(server))
    ranges = source.open_reader.location.child("train/in21k-train-000002.tar").open_ranges()
    server.kill()
    with pytest.raises(DatasetError) as caught:
        ranges.read(0, 4000)
    message = str(caught.value)
    assert "bucket/data/train/in21k-train-000002.tar?" in message
    assert f"127.0.0.1:{server.port}" in message
    tried = re.search(r"reading failed at byte 0, (\d+) times in (\d+) s", message)
    assert int(tried[1]) > 2
    assert int(tried[2]) >= 3
    assert "\n" not in message
    assert "testsecret" not in message
    with pytest.raises(DatasetError, match=r"in21k|samples\.parquet"):
        stream(source)


def test_a_reader_with_pending_reads_closes_at_once(server):
    """More runs than connections: some are in progress, the others wait their turn."""
    reader = source_of(uri(server)).open_reader()
    reader.request(np.arange(92, -1, -2))
    closing = threading.Thread(target=reader.close, daemon=True)
    closing.start()
    closing.join()


def test_a_missing_object_is_not_waited_for(server, monkeypatch):
    monkeypatch.setattr(remote.Backoff, "wait", lambda self: pytest.fail("it waits for a missing object"))
    (Path(server.command[-1]) / "bucket/data/train/in21k-train-000003.tar").unlink()
    with pytest.raises(DatasetError, match=r"in21k-train-000003.tar\S*: there is no such file"):
        stream(source_of(uri(server)))


class _Short:
    """A file whose reads end early, without an error, as pyarrow's do when a server closes."""

    def __init__(self, content: bytes, most: int) -> None:
        self.content, self.most = content, most

    def size(self) -> int:
        return len(self.content)

    def read_at(self, size: int, offset: int) -> bytes:
        return self.content[offset : offset + min(size, self.most)]

    def close(self) -> None:
        pass


def test_short_responses_are_joined(monkeypatch):
    monkeypatch.setattr("time.sleep", lambda _: None)
    content = bytes(range(256)) * 4
    ranges = RemoteRanges(lambda: _Short(content, 100), "s3://bucket/x")
    assert ranges.read(10, 777) == content[10:787]
    assert ranges.read(1000, 100) == content[1000:]


def test_an_object_whose_length_changes_is_an_error():
    files = [_Short(bytes(100), 10), _Short(bytes(99), 10)]
    ranges = RemoteRanges(lambda: files.pop(0), "s3://bucket/x")
    with pytest.raises(DatasetError, match="changed while it was being read: 99 bytes, 100 before"):
        ranges.read(0, 50)


@pytest.mark.guard
def test_a_silent_server_is_an_error_in_time(server, monkeypatch):
    monkeypatch.setenv("IN21K_RETRY_SECONDS", "5")
    ranges = locate(uri(server)).child("train/in21k-train-000001.tar").open_ranges()
    server.stop()
    with pytest.raises(DatasetError, match=r"reading failed at byte 0, .* times in .* s; the last error: .*Timeout"):
        ranges.read(0, 5000)

"""Streams from a real S3 server ask for few, long ranges, many at a time, in bounded memory; batches stay the same."""

import shutil
import threading
import time
from concurrent.futures import Future

import numpy as np
import pytest
from fault_proxy import Faults, Gate, faulty
from object_store import Server
from small_dataset import write_dataset
from streams import AUGMENTATION, equal, remote_source, source_of, train_plan

from in21k.shards_manifest.storage import remote
from in21k.shards_manifest.storage.location import locate
from in21k.shards_manifest.storage.ranges import RemoteRanges
from in21k.train.data.prepared import read_ahead
from in21k.train.data.prepared.read_ahead import CONNECTIONS, ReadAhead
from in21k.train.data.prepared.reader import ShardReader
from in21k.train.stream.loader import open_stream


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A dataset whose shards hold several blocks: 300 training images in four of them."""
    return write_dataset(tmp_path_factory.mktemp("dataset"), train=(96, 64, 130, 10))


@pytest.fixture
def server(folder, tmp_path, monkeypatch):
    """A server whose bucket holds the dataset."""
    monkeypatch.setenv("IN21K_RETRY_SECONDS", "30")
    monkeypatch.setattr(remote, "_FIRST_DELAY", 0.005)
    shutil.copytree(folder, tmp_path / "served" / "bucket" / "data")
    server = Server(tmp_path / "served")
    yield server
    server.kill()


def uri(server: Server, port: int) -> str:
    return server.uri.format("bucket/data").replace(f":{server.port}", f":{port}")


def batches(source, start_step=0, workers=0, **plan):
    return list(open_stream(source, train_plan(source, **plan), start_step=start_step, workers=workers))


@pytest.mark.parametrize(
    "block", [1, pytest.param(8, marks=pytest.mark.slow), 32, pytest.param(128, marks=pytest.mark.slow)]
)
def test_the_order_is_that_of_the_disk_for_any_block(server, folder, block):
    plan = {"epochs": 2, "batch": 24, "block": block}
    expected = batches(source_of(folder, augmentation=AUGMENTATION), **plan)
    with faulty(server.port, Faults()) as port:
        source = source_of(uri(server, port), augmentation=AUGMENTATION)
        assert equal(batches(source, **plan), expected)
        assert equal(batches(source, start_step=7, workers=2, **plan), expected[7:])


def test_larger_blocks_need_fewer_ranges(server):
    """An epoch of 300 images in batches of 100: a batch cuts at most one block, and opening a shard takes a range."""
    asked = {}
    for block in (8, 32, 128):
        faults = Faults()
        with faulty(server.port, faults) as port:
            assert len(batches(source_of(uri(server, port)), batch=100, block=block)) == 3
        asked[block] = faults.ranges()
        blocks = sum(-(-length // block) for length in (96, 64, 130, 10))
        assert asked[block] <= blocks + 2 + 4
    assert asked[128] < asked[32] < asked[8]


def test_a_slow_store_is_asked_for_as_many_ranges_at_a_time_as_there_are_connections(server):
    faults = Faults()
    with faulty(server.port, faults) as port:
        source = source_of(uri(server, port))
        stream = open_stream(source, train_plan(source, epochs=4, batch=8, block=2))
        for number, _ in enumerate(stream):
            if number == 40:  # by now, all shards are open
                faults.gate = Gate(CONNECTIONS)
    assert faults.gate.most == CONNECTIONS


def test_ranges_are_asked_for_without_checksums_that_no_server_sends(server, monkeypatch):
    monkeypatch.delenv("AWS_RESPONSE_CHECKSUM_VALIDATION", raising=False)
    faults = Faults()
    with faulty(server.port, faults) as port:
        batches(source_of(uri(server, port)), batch=100)
        assert not any("x-amz-checksum-mode" in headers for _, _, headers in faults.asked)
        monkeypatch.setenv("AWS_RESPONSE_CHECKSUM_VALIDATION", "when_supported")
        locate(uri(server, port)).child("manifest.json").read_bytes()
    assert faults.asked[-1][2]["x-amz-checksum-mode"].lower() == "enabled"


def test_what_is_read_ahead_of_a_late_store_is_bounded(folder, monkeypatch):
    """What is requested and not yet collected: at most the limit and one batch, and all of that is used."""
    monkeypatch.setattr(read_ahead, "BYTES", 60_000)
    read, pending, seen = RemoteRanges.read, [], []

    def late(ranges, offset, size):
        time.sleep(0.05)
        return read(ranges, offset, size)

    class Watched(ShardReader):
        def request(self, numbers):
            requests = super().request(numbers)
            pending.append(sum(request.size for request in requests))
            seen.append(sum(pending))
            return requests

        def collect(self, requests):
            pending.pop(0)
            return super().collect(requests)

    monkeypatch.setattr(RemoteRanges, "read", late)
    monkeypatch.setattr("in21k.train.data.prepared.reader.ShardReader", Watched)
    source = remote_source(folder)
    assert len(batches(source, epochs=2, batch=8)) == 74
    largest = 8 * max(shard.bytes // shard.samples + 1 for shard in source.open_reader.manifest.splits["train"])
    assert 60_000 < max(seen) <= 60_000 + largest
    assert pending == []


def there() -> Future:
    read = Future()
    read.set_result(b"")
    return read


def test_a_store_in_time_is_asked_for_one_batch_ahead_and_a_late_one_for_more():
    ahead = ReadAhead()
    for read in (Future(), there()):  # the first batch is always late
        assert ahead.wants_more()
        ahead.requested([read], 1)
    for _ in range(5):
        assert not ahead.wants_more()
        ahead.collected()
        assert ahead.wants_more()
        ahead.requested([there()], 1)
    ahead.collected()
    ahead.collected()
    late = Future()
    for _ in range(read_ahead.RANGES):
        assert ahead.wants_more()
        ahead.requested([late], 1)
    assert not ahead.wants_more()
    late.set_result(b"")
    ahead.collected()
    assert ahead.wants_more()


def test_a_batch_is_read_ahead_however_large_it_is():
    ahead = ReadAhead()
    for _ in range(2):
        assert ahead.wants_more()
        ahead.requested([Future()], 10 * read_ahead.BYTES)
    assert not ahead.wants_more()
    ahead.collected()
    assert ahead.wants_more()


def test_local_files_are_not_read_ahead(folder):
    reader = source_of(folder).open_reader()
    assert not reader.reads_ahead
    reader.close()


def test_a_server_that_is_killed_while_ranges_are_in_flight_is_waited_for(server, folder):
    plan = {"epochs": 2, "batch": 8, "block": 2}
    expected = batches(source_of(folder), **plan)
    faults = Faults()
    with faulty(server.port, faults) as port:
        source, gate, found = source_of(uri(server, port)), Gate(CONNECTIONS, opens=False), []

        def kill_and_restart():
            gate.full.wait()
            server.kill()
            gate.open()
            time.sleep(1)
            server.start()

        restart = threading.Thread(target=kill_and_restart, daemon=True)
        restart.start()
        for batch in open_stream(source, train_plan(source, **plan)):
            found.append(batch)
            if len(found) == 20:
                faults.gate = gate
    restart.join(60)
    assert gate.full.is_set()
    assert equal(found, expected)


def test_no_threads_are_left_when_a_stream_is_closed_with_reads_in_flight(server):
    before = set(threading.enumerate())
    with faulty(server.port, Faults()) as port:
        readers = source_of(uri(server, port)).open_reader
        reader = readers()
        reader.request(np.arange(290, -1, -2))
        reader.close()
        assert not [thread for thread in set(threading.enumerate()) - before if thread.name.startswith("shards")]

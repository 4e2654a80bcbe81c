"""Datasets and work folders on a real S3 server, which is killed, restarted, or never comes back."""

import hashlib
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import IO

import pytest
from commands import RefusedError, call, digests
from dumps import PIPELINE
from object_store import Server

from in21k.shards_manifest.errors import RetriesExhaustedError
from in21k.shards_manifest.storage import remote
from in21k.shards_manifest.storage.location import locate

pytestmark = pytest.mark.usefixtures("inline")

RETRY_SECONDS = "10"
"""The retry time in seconds, less than the default, so that the tests end soon."""


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A server with the empty bucket `b`."""
    monkeypatch.setenv("AWS_REQUEST_CHECKSUM_CALCULATION", "when_required")
    monkeypatch.setenv(remote.RETRY_SECONDS_VARIABLE, RETRY_SECONDS)
    (tmp_path / "served" / "b").mkdir(parents=True)
    server = Server(tmp_path / "served")
    server.folder = tmp_path / "served" / "b"
    yield server
    server.kill()


def objects(folder: Path) -> dict[str, str]:
    return {path: digest for path, digest in digests(folder).items() if not path.startswith(".unfinished")}


def when(happens: Callable[[], bool], act: Callable[[], None]) -> threading.Thread:
    """Return a running thread that acts as soon as something happens."""

    def watch() -> None:
        while not happens():
            time.sleep(0.002)
        act()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread


def restart(server: Server, pause: float) -> Callable[[], None]:
    def act() -> None:
        server.kill()
        time.sleep(pause)
        server.start()

    return act


def test_a_dataset_in_a_bucket_is_the_local_one_object_by_object(dataset, server):
    summary = call("shard", dataset.work, server.uri.format("b/data"), "--samples-per-shard", 7)
    assert objects(server.folder / "data") == digests(dataset.out)
    assert summary["train"] == dataset.summary["train"]
    assert "testsecret" not in summary["dataset"]


@pytest.mark.guard
def test_the_work_folder_may_be_in_a_bucket(dataset, server):
    run = ("run", dataset.raw, server.uri.format("b/work"), server.uri.format("b/data"), *PIPELINE)
    summary = call(*run)
    assert objects(server.folder / "data") == digests(dataset.out)
    assert call(*run) == summary


def test_a_server_that_is_killed_and_comes_back_costs_nothing_but_time(dataset, server):
    data = server.folder / "data"
    killed = when(lambda: any(data.glob("train/*000002.tar")), restart(server, 0.5))
    call("shard", dataset.work, server.uri.format("b/data"), "--samples-per-shard", 7)
    killed.join()
    assert objects(data) == digests(dataset.out)


def test_a_server_that_is_gone_for_good_is_one_line_and_the_next_run_resumes(dataset, server, monkeypatch):
    monkeypatch.setenv(remote.RETRY_SECONDS_VARIABLE, "0.2")
    data = server.folder / "data"
    killed = when(lambda: any(data.glob("train/*000002.tar")), server.kill)
    shard = ("shard", dataset.work, server.uri.format("b/data"), "--samples-per-shard", 7)
    with pytest.raises(RefusedError, match=r"127\.0\.0\.1"):
        call(*shard)
    killed.join()
    assert not (data / "manifest.json").exists()
    before = {path: path.stat().st_mtime_ns for path in data.glob("train/*00000[01].tar")}
    server.start()
    call(*shard)
    assert objects(data) == digests(dataset.out)
    assert {path: path.stat().st_mtime_ns for path in before} == before


class KillsOnce:
    """A file that kills the server when it has been read half way, and starts it again soon after."""

    def __init__(self, file: IO[bytes], server: Server) -> None:
        self.file, self.server, self.restarting = file, server, None

    def seek(self, offset: int) -> int:
        return self.file.seek(offset)

    def read(self, size: int) -> bytes:
        if self.restarting is None and self.file.tell() >= 32 << 20:
            self.server.kill()
            self.restarting = threading.Timer(0.3, self.server.start)
            self.restarting.start()
        return self.file.read(size)


def test_a_large_object_is_whole_although_the_server_was_killed_during_the_upload(server, monkeypatch):
    block = hashlib.sha256(b"block").digest() * (1 << 15)
    target = locate(server.uri.format("b/large"))
    files, upload = [], remote.upload

    def upload_half(filesystem, path, file):
        files.append(KillsOnce(file, server))
        upload(filesystem, path, files[0])

    monkeypatch.setattr(remote, "upload", upload_half)
    with target.write() as file:
        for number in range(64):
            file.write(number.to_bytes(4, "big") + block)
    files[0].restarting.join()
    wanted = b"".join(number.to_bytes(4, "big") + block for number in range(64))
    assert target.sha256() == hashlib.sha256(wanted).hexdigest()


def test_a_failed_write_leaves_nothing(server):
    class OwnError(Exception):
        pass

    target = locate(server.uri.format("b/never"))

    def fail() -> None:
        with target.write() as file:
            file.write(b"half")
            raise OwnError

    with pytest.raises(OwnError):
        fail()
    assert not target.exists()


def test_a_missing_bucket_is_one_line_at_once(dataset, server, monkeypatch):
    monkeypatch.setattr(remote.Backoff, "wait", lambda self: pytest.fail("it waits for a bucket"))
    with pytest.raises(RefusedError, match="nowhere"):
        call("shard", dataset.work, server.uri.format("nowhere/data"), "--samples-per-shard", 7)


def test_retries_end_with_the_retry_time(monkeypatch):
    monkeypatch.setenv(remote.RETRY_SECONDS_VARIABLE, "60")
    now, tries = [0.0], []
    clock = SimpleNamespace(monotonic=lambda: now[0], sleep=lambda seconds: now.append(now.pop() + seconds))
    monkeypatch.setattr(remote, "time", clock)

    def fail() -> None:
        tries.append(1)
        raise OSError("the store is down")

    with pytest.raises(RetriesExhaustedError, match="the store is down"):
        remote.with_retries(fail)
    assert now == [pytest.approx(60)]
    assert 9 <= len(tries) <= 15

"""Reads that come back short or fail: what is asked again, and for how long."""

import hashlib
import os

import pytest

from in21k.shards_manifest.errors import DatasetError
from in21k.shards_manifest.storage import remote
from in21k.shards_manifest.storage.ranges import HashedStream, LocalRanges, RangeFile, RemoteRanges

CONTENT = os.urandom(1 << 20)


def test_a_local_read_goes_on_where_the_system_stopped(tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(CONTENT)
    real = os.pread
    monkeypatch.setattr(os, "pread", lambda descriptor, size, offset: real(descriptor, min(size, 300_001), offset))
    ranges = LocalRanges(str(tmp_path / "file"), "file")
    assert ranges.read(5, 1_000_000) == CONTENT[5:1_000_005]
    assert ranges.read(1_000_000, 1 << 20) == CONTENT[1_000_000:]
    ranges.close()


@pytest.mark.parametrize("size", [(), (-1,), (None,), (1 << 30,)])
def test_the_rest_of_a_file_is_what_follows_its_position(tmp_path, size):
    (tmp_path / "file").write_bytes(b"0123456789")
    with RangeFile(LocalRanges(str(tmp_path / "file"), "file")) as file:
        file.seek(-4, os.SEEK_END)
        assert (file.read(1), file.read(*size), file.read(*size)) == (b"6", b"789", b"")


@pytest.mark.parametrize("chunk", [1, 7, 100, 1 << 20])
def test_a_stream_is_hashed_whole_whatever_is_read_of_it(tmp_path, chunk):
    (tmp_path / "file").write_bytes(CONTENT[:1000])
    stream = HashedStream(LocalRanges(str(tmp_path / "file"), "file"), chunk)
    for offset, size in ((0, 3), (2, 5), (2, 50), (300, 1), (300, 400), (990, 20)):
        assert stream.read(offset, size) == CONTENT[:1000][offset : offset + size]
    assert stream.finish() == hashlib.sha256(CONTENT[:1000]).hexdigest()


class Backoff:
    """Waits that take no time; at most `allowed` of them without progress."""

    allowed = 4

    def __init__(self) -> None:
        self.tries, self.seconds, self.restarts = 1, 0.0, 0

    def wait(self) -> bool:
        self.tries += 1
        return self.tries <= self.allowed

    def restart(self) -> None:
        self.tries, self.restarts = 1, self.restarts + 1


class Flaky:
    """An object whose reads do as they are told: a number of bytes at most, or an error."""

    def __init__(self, script: list) -> None:
        self.script, self.asked = script, []

    def size(self) -> int:
        return len(CONTENT)

    def read_at(self, size: int, offset: int) -> bytes:
        self.asked.append(size)
        most = self.script.pop(0) if self.script else size
        if isinstance(most, OSError):
            raise most
        return CONTENT[offset : offset + min(size, most)]

    def close(self) -> None:
        pass


@pytest.fixture
def patient(monkeypatch):
    monkeypatch.setattr(remote, "Backoff", Backoff)


@pytest.mark.usefixtures("patient")
def test_what_is_asked_again_shrinks_to_a_floor():
    file = Flaky([OSError("reset")] * 2 + [1000] + [OSError("reset")] * 2)
    assert RemoteRanges(lambda: file, "object").read(0, 1 << 20) == CONTENT
    assert file.asked[:6] == [1 << 20, 1 << 18, 1 << 16, 1 << 16, 1 << 16, 1 << 16]


@pytest.mark.usefixtures("patient")
def test_progress_starts_the_retry_time_again():
    file = Flaky([OSError("reset"), OSError("reset"), 10] * 5)
    assert RemoteRanges(lambda: file, "object").read(0, 200_000) == CONTENT[:200_000]


@pytest.mark.usefixtures("patient")
def test_without_progress_the_retry_time_ends():
    file = Flaky([OSError("reset")] * 9)
    with pytest.raises(DatasetError, match=r"object: reading failed at byte 0, 5 times .* the last error: reset"):
        RemoteRanges(lambda: file, "object").read(0, 200_000)
    assert len(file.asked) == Backoff.allowed


@pytest.mark.parametrize(
    "error",
    [FileNotFoundError("x"), PermissionError("x"), OSError("AWS Error ACCESS_DENIED"), OSError("HTTP status 403")],
)
def test_what_a_retry_would_not_help_is_tried_once(monkeypatch, error):
    monkeypatch.setenv(remote.RETRY_SECONDS_VARIABLE, "0.2")
    tries = []

    def fail() -> None:
        tries.append(1)
        raise error

    with pytest.raises(OSError, match=str(error)):
        remote.with_retries(fail)
    assert tries == [1]


@pytest.mark.parametrize("text", ["soon", "-1", "inf", "nan"])
def test_a_retry_time_that_is_no_number_of_seconds_is_one_line(monkeypatch, text):
    monkeypatch.setenv(remote.RETRY_SECONDS_VARIABLE, text)
    with pytest.raises(DatasetError, match=f"{remote.RETRY_SECONDS_VARIABLE}='{text}' is not a number of seconds"):
        remote.with_retries(lambda: None)


def test_a_retry_time_of_nothing_is_one_try(monkeypatch):
    monkeypatch.setenv(remote.RETRY_SECONDS_VARIABLE, "0")
    backoff = remote.Backoff()
    assert not backoff.wait()
    assert backoff.tries == 1
    monkeypatch.setenv(remote.RETRY_SECONDS_VARIABLE, "")
    assert remote.retry_seconds() == remote.RETRY_SECONDS

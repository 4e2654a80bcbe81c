"""A bounded folder of shards that came from an object store, shared by any number of processes and users.

    CACHE/<manifest digest>/<shard name>         a whole shard
    CACHE/<manifest digest>/.tmp-<shard name>    one that is being written, at its full length from the beginning
    CACHE/<manifest digest>/.lock-<shard name>   locked by who writes the shard
    CACHE/.lock                                  locked by who makes room

Locks are flock's, which end with the process that holds them. A reader holds a shared lock on the shard itself, so
what is in use is not evicted, and the folder's length on disk stays within its bound.
"""

import fcntl
import hashlib
import os
import stat
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

from in21k.shards_manifest.errors import DatasetError, errors_naming
from in21k.shards_manifest.manifest import Manifest, Shard
from in21k.shards_manifest.storage.local_files import TEMPORARY_PREFIX
from in21k.shards_manifest.storage.location import CHUNK, Location
from in21k.shards_manifest.storage.ranges import LocalRanges
from in21k.train.data.interfaces import CacheOptions
from in21k.train.errors import TrainError

_LOCK = ".lock"


@contextmanager
def usable_cache(options: CacheOptions | None, manifest: Manifest) -> Iterator[None]:
    """Make sure that a cache can be used, if there is to be one; after the block nothing unfinished is in it.

    Raises:
        DatasetError: it cannot be written to, or is smaller than a shard.
    """
    if options is None:
        yield
        return
    cache = ShardCache(options, manifest)
    cache.remove_unfinished()
    try:
        yield
    finally:
        cache.close()
        cache.remove_unfinished()


class CachedShard(LocalRanges):
    """A shard in the cache, read by offset; it stays until it is closed."""

    def __init__(self, path: Path) -> None:
        super().__init__(str(path), str(path))
        fcntl.flock(self._descriptor, fcntl.LOCK_SH)

    @property
    def is_there(self) -> bool:
        """Whether the file still has its name: it may have been evicted just before it was locked."""
        return os.fstat(self._descriptor).st_nlink > 0

    def used_now(self) -> None:
        """Mark the shard as just used; where it is another user's, its age stays."""
        with suppress(PermissionError):
            os.utime(self._descriptor)


class ShardCache:
    """The cache of one dataset, as one process uses it: it reads at once, and writes in the background."""

    def __init__(self, options: CacheOptions, manifest: Manifest) -> None:
        """Open the cache, and create its folders where they are missing.

        Raises:
            DatasetError: they cannot be written to.
            TrainError: a shard is larger than the whole cache.
        """
        self._root = Path(options.folder)
        self._limit = options.limit
        largest = max(shard.bytes for shards in manifest.splits.values() for shard in shards)
        if largest > options.limit:
            raise TrainError(
                f"a shard of {largest} bytes does not fit into a cache of {options.limit}; name a larger --cache-size"
            )
        self._folder = self._root / hashlib.sha256(manifest.to_json()).hexdigest()[:32]
        with errors_naming(str(self._root)):
            self._root.mkdir(parents=True, exist_ok=True)
            self._make_folder()
            with _locked(self._root / _LOCK, self._mode):
                pass
        self._writer = ThreadPoolExecutor(1, "cache")
        self._writing: dict[str, Future[None]] = {}
        self._closed = threading.Event()

    def holds(self, shard: Shard) -> bool:
        """Return whether a shard lies in the cache."""
        return self._path(shard).exists()

    def open(self, shard: Shard, source: Location, verify_digest: bool) -> CachedShard | None:
        """Return a shard in the cache; if it is not there, None, and it is fetched in the background.

        Args:
            shard: to open.
            source: where it comes from.
            verify_digest: compare what comes with the manifest's SHA-256.

        Raises:
            DatasetError: a shard that was to be fetched before could not be read or written.
        """
        for name, writing in list(self._writing.items()):
            if writing.done():
                del self._writing[name]
                writing.result()  # raises what went wrong
        if (opened := self._open(shard)) is not None:
            return opened
        name = self._path(shard).name
        if name not in self._writing and not self._closed.is_set():
            self._writing[name] = self._writer.submit(self._fetch, shard, source, verify_digest)
        return None

    def close(self) -> None:
        """End the fetching; what is unfinished is deleted."""
        self._closed.set()
        self._writer.shutdown(cancel_futures=True)

    def remove_unfinished(self) -> None:
        """Delete what killed processes left unfinished."""
        for temporary in self._root.glob(f"*/{TEMPORARY_PREFIX}*"):
            self._remove_if_stale(temporary)

    @property
    def _mode(self) -> int:
        """The permissions of new files: whoever may write into the cache's folder may write them."""
        return stat.S_IMODE(self._root.stat().st_mode) & 0o666

    def _make_folder(self) -> None:
        with suppress(FileExistsError):
            self._folder.mkdir()
            self._folder.chmod(stat.S_IMODE(self._root.stat().st_mode))

    def _path(self, shard: Shard) -> Path:
        return self._folder / shard.path.replace("/", "-")

    def _open(self, shard: Shard) -> CachedShard | None:
        while True:
            try:
                opened = CachedShard(self._path(shard))
            except DatasetError as error:
                if isinstance(error.__cause__, FileNotFoundError):
                    return None
                raise
            if opened.is_there and opened.size == shard.bytes:
                opened.used_now()
                return opened
            opened.close()
            if opened.size != shard.bytes:  # cut by a failure of the machine
                self._path(shard).unlink(missing_ok=True)

    def _fetch(self, shard: Shard, source: Location, verify_digest: bool) -> None:
        """Bring a shard into the cache, unless another process is about it or there is no room for it now."""
        path = self._path(shard)
        temporary = path.with_name(f"{TEMPORARY_PREFIX}{path.name}")
        with errors_naming(str(path)), _locked(self._lock_of(path), self._mode, wait=False) as is_ours:
            if not is_ours or self._closed.is_set() or path.exists():
                return
            try:
                if self._reserve(temporary, shard.bytes):
                    self._copy(shard, source, temporary, verify_digest)
                    temporary.replace(path)
            finally:
                temporary.unlink(missing_ok=True)

    def _copy(self, shard: Shard, source: Location, temporary: Path, verify_digest: bool) -> None:
        digest = hashlib.sha256()
        ranges = source.open_ranges()
        try:
            if ranges.size != shard.bytes:
                raise TrainError(f"{source.text} is {ranges.size} bytes long, not the manifest's {shard.bytes}")
            with temporary.open("r+b") as file:
                for offset in range(0, shard.bytes, CHUNK):
                    if self._closed.is_set():
                        raise TrainError("the cache was closed")
                    content = ranges.read(offset, CHUNK)
                    file.write(content)
                    if verify_digest:
                        digest.update(content)
                file.flush()
                os.fsync(file.fileno())
        finally:
            ranges.close()
        if verify_digest and digest.hexdigest() != shard.sha256:
            raise TrainError(f"{source.text} has another SHA-256 than the manifest says; copy it anew")

    def _reserve(self, temporary: Path, size: int) -> bool:
        """Create a file of `size` bytes to be filled, making room for it; return whether there is room."""
        with _locked(self._root / _LOCK, self._mode):
            temporary.unlink(missing_ok=True)  # of a killed process: its lock is ours now
            files = self._files()
            total = sum(found.st_size for _, found in files)
            for path, found in sorted(files, key=lambda file: file[1].st_mtime_ns):
                if total + size <= self._limit:
                    break
                if self._remove_if_stale(path) if path.name.startswith(TEMPORARY_PREFIX) else _evict(path):
                    total -= found.st_size
            if total + size > self._limit:
                return False
            with temporary.open("xb") as file:
                os.fchmod(file.fileno(), self._mode)
                os.posix_fallocate(file.fileno(), 0, size)
            return True

    def _files(self) -> list[tuple[Path, os.stat_result]]:
        """Return all shards in the cache, of any dataset, and those being written."""
        found = []
        for path in self._root.glob("*/*.tar"):
            if not path.name.startswith(_LOCK):
                with suppress(FileNotFoundError):
                    found.append((path, path.stat()))
        return found

    def _remove_if_stale(self, temporary: Path) -> bool:
        lock = self._lock_of(temporary.with_name(temporary.name.removeprefix(TEMPORARY_PREFIX)))
        with suppress(OSError), _locked(lock, self._mode, wait=False) as is_ours:
            if is_ours:
                temporary.unlink(missing_ok=True)
            return is_ours
        return False

    def _lock_of(self, path: Path) -> Path:
        return path.with_name(f"{_LOCK}-{path.name}")


def _evict(path: Path) -> bool:
    """Delete a shard that no process has open; return whether it is gone."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink(missing_ok=True)
    except OSError:  # in use, or another user's
        return False
    finally:
        os.close(descriptor)
    return True


@contextmanager
def _locked(path: Path, mode: int, *, wait: bool = True) -> Iterator[bool]:
    """Hold the lock of a file within the block; give whether it was to be had, without waiting if so told."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        os.fchmod(descriptor, mode)
    except FileExistsError:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield True
    except BlockingIOError:
        yield False
    finally:
        os.close(descriptor)

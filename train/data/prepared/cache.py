"""A cache of shards from an object store: one folder of bounded size, shared by any number of processes and users.

    CACHE/<manifest digest>/<shard name>         a complete shard
    CACHE/<manifest digest>/.tmp-<shard name>    a shard being written, allocated at its full length
    CACHE/<manifest digest>/.lock-<shard name>   locked by the process that writes the shard
    CACHE/.lock                                  locked by the process that makes room

The locks are flock's, which end with the process that holds them. A reader holds a shared lock on the shard itself, so
no shard in use is evicted, and the folder never takes more disk space than its limit.
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
    """Check that the cache is usable, if there is to be one, and leave nothing unfinished in it after the block.

    Raises:
        DatasetError: it is not writable, or is smaller than a shard.
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
    """A shard in the cache, read by offset; it is not evicted before it is closed."""

    def __init__(self, path: Path) -> None:
        super().__init__(str(path), str(path))
        fcntl.flock(self._descriptor, fcntl.LOCK_SH)

    @property
    def is_there(self) -> bool:
        """Whether the file still has its name: it may have been evicted just before it was locked."""
        return os.fstat(self._descriptor).st_nlink > 0

    def used_now(self) -> None:
        """Mark the shard as just used, unless it belongs to another user."""
        with suppress(PermissionError):
            os.utime(self._descriptor)


class ShardCache:
    """The cache of one dataset, as one process uses it: reads are immediate, writes happen in the background."""

    def __init__(self, options: CacheOptions, manifest: Manifest) -> None:
        """Open the cache, creating its folders if they are missing.

        Raises:
            DatasetError: the folders are not writable.
            TrainError: a shard is larger than the whole cache.
        """
        self._root = Path(options.folder)
        self._limit = options.limit
        largest = max(shard.bytes for shards in manifest.splits.values() for shard in shards)
        if largest > options.limit:
            raise TrainError(
                f"a shard of {largest} bytes does not fit into a cache of {options.limit}; give a larger --cache-size"
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
        """Return whether a shard is in the cache."""
        return self._path(shard).exists()

    def open(self, shard: Shard, source: Location, verify_digest: bool) -> CachedShard | None:
        """Return a shard in the cache; if it is not there, return None and fetch it in the background.

        Args:
            shard: the shard to open.
            source: its place in the object store.
            verify_digest: whether a fetched shard's SHA-256 is compared with the manifest's.

        Raises:
            DatasetError: a shard that was being fetched could not be read or written.
        """
        for name, writing in list(self._writing.items()):
            if writing.done():
                del self._writing[name]
                writing.result()  # raises its error
        if (opened := self._open(shard)) is not None:
            return opened
        name = self._path(shard).name
        if name not in self._writing and not self._closed.is_set():
            self._writing[name] = self._writer.submit(self._fetch, shard, source, verify_digest)
        return None

    def close(self) -> None:
        """Stop fetching, and delete what is unfinished."""
        self._closed.set()
        self._writer.shutdown(cancel_futures=True)

    def remove_unfinished(self) -> None:
        """Delete what killed processes left unfinished."""
        for temporary in self._root.glob(f"*/{TEMPORARY_PREFIX}*"):
            self._remove_if_stale(temporary)

    @property
    def _mode(self) -> int:
        """The permissions of new files: writable by everyone who may write to the cache's folder."""
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
            if opened.size != shard.bytes:  # cut short by a crash of the machine
                self._path(shard).unlink(missing_ok=True)

    def _fetch(self, shard: Shard, source: Location, verify_digest: bool) -> None:
        """Copy a shard into the cache, unless another process is doing so or there is no room at the moment."""
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
                raise TrainError(f"{source.text} is {ranges.size} bytes long, not {shard.bytes} as in the manifest")
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
            raise TrainError(f"the SHA-256 of {source.text} is not the manifest's; copy it again")

    def _reserve(self, temporary: Path, size: int) -> bool:
        """Make room for a file of `size` bytes and allocate it; return whether there was room."""
        with _locked(self._root / _LOCK, self._mode):
            temporary.unlink(missing_ok=True)  # left by a killed process, whose lock is ours now
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
        """Return all shards in the cache, of every dataset, and those being written."""
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
    """Delete a shard unless a process has it open; return whether it is gone."""
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
    """Hold a file's lock within the block, and yield True; yield False if it is taken and `wait` is off."""
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

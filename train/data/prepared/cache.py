"""A cache of shards from an object store: one folder of bounded size, shared by any number of processes and users.

    CACHE/in21k-cache/<manifest digest>/<shard name>         a complete shard
    CACHE/in21k-cache/<manifest digest>/.tmp-<shard name>    a shard being written, allocated at its full length
    CACHE/in21k-cache/<manifest digest>/.lock-<shard name>   locked by the process that writes the shard

The locks are flock's, which end with the process that holds them. A reader holds a shared lock on the shard itself, so
no shard in use is evicted, and the shards never take more disk space than the limit. What else is in the folder is
left alone, as `cache_folder` says.
"""

import fcntl
import hashlib
import os
import stat
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from in21k.shards_manifest.errors import errors_naming
from in21k.shards_manifest.manifest import Manifest, Shard
from in21k.shards_manifest.storage.local_files import TEMPORARY_PREFIX
from in21k.shards_manifest.storage.location import CHUNK, Location
from in21k.shards_manifest.storage.ranges import LocalRanges
from in21k.train.data.interfaces import CacheOptions
from in21k.train.data.prepared.cache_folder import LOCK, Folder, make_cache, opened_cache, recorded_files
from in21k.train.errors import TrainError


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

    def __init__(self, descriptor: int, text: str) -> None:
        """Lock an open file; closing the shard closes it."""
        self._descriptor, self._text = descriptor, text
        self.size = os.fstat(descriptor).st_size
        fcntl.flock(descriptor, fcntl.LOCK_SH)

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
        self._dataset = hashlib.sha256(manifest.to_json()).hexdigest()[:32]
        names = [_name(shard) for shards in manifest.splits.values() for shard in shards]
        with errors_naming(str(self._root)):
            make_cache(self._root, self._dataset, names)
        self._writer = ThreadPoolExecutor(1, "cache")
        self._writing: dict[str, Future[None]] = {}
        self._closed = threading.Event()

    def holds(self, shard: Shard) -> bool:
        """Return whether a shard is in the cache."""
        with self._opened() as folder:
            return bool(folder.files([_name(shard)]))

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
        name = _name(shard)
        if name not in self._writing and not self._closed.is_set():
            self._writing[name] = self._writer.submit(self._fetch, shard, source, verify_digest)
        return None

    def close(self) -> None:
        """Stop fetching, and delete what is unfinished."""
        self._closed.set()
        self._writer.shutdown(cancel_futures=True)

    def remove_unfinished(self) -> None:
        """Delete what killed processes left unfinished."""
        with errors_naming(str(self._root)), opened_cache(self._root) as root:
            for dataset, name, _ in list(recorded_files(root)):
                if name.startswith(TEMPORARY_PREFIX):
                    self._remove(root, dataset, name)

    @property
    def _mode(self) -> int:
        """The permissions of new files: writable by everyone who may write to the cache's folder."""
        return stat.S_IMODE(self._root.stat().st_mode) & 0o666

    @contextmanager
    def _opened(self) -> Iterator[Folder]:
        with errors_naming(str(self._root)), opened_cache(self._root) as root, root.subfolder(self._dataset) as folder:
            yield folder

    @contextmanager
    def _counting(self) -> Iterator[Folder]:
        """Open the cache's own folder under the lock of whoever makes room: nothing is added or renamed meanwhile."""
        with opened_cache(self._root) as root, root.locked(LOCK, self._mode):
            yield root

    def _open(self, shard: Shard) -> CachedShard | None:
        name = _name(shard)
        with self._opened() as folder:
            while True:
                try:
                    opened = CachedShard(folder.open_file(name), f"{folder.text}/{name}")
                except FileNotFoundError:
                    return None
                if opened.is_there and opened.size == shard.bytes:
                    opened.used_now()
                    return opened
                opened.close()
                if opened.size != shard.bytes:  # cut short by a crash of the machine
                    folder.unlink(name)

    def _fetch(self, shard: Shard, source: Location, verify_digest: bool) -> None:
        """Copy a shard into the cache, unless another process is doing so or there is no room at the moment."""
        name = _name(shard)
        temporary = f"{TEMPORARY_PREFIX}{name}"
        with self._opened() as folder, folder.locked(_lock_of(name), self._mode, wait=False) as is_ours:
            if not is_ours or self._closed.is_set() or folder.files([name]):
                return
            try:
                if self._reserve(folder, temporary, shard.bytes):
                    self._copy(shard, source, folder.open_file(temporary, os.O_RDWR), verify_digest)
                    with self._counting():  # or one that counts might see it under neither name
                        folder.rename(temporary, name)
            finally:
                folder.unlink(temporary)

    def _copy(self, shard: Shard, source: Location, temporary: int, verify_digest: bool) -> None:
        """Copy a shard into an open file, and close it."""
        digest = hashlib.sha256()
        with open(temporary, "r+b") as file, closing(source.open_ranges()) as ranges:
            if ranges.size != shard.bytes:
                raise TrainError(f"{source.text} is {ranges.size} bytes long, not {shard.bytes} as in the manifest")
            for offset in range(0, shard.bytes, CHUNK):
                if self._closed.is_set():
                    raise TrainError("the cache was closed")
                content = ranges.read(offset, CHUNK)
                file.write(content)
                if verify_digest:
                    digest.update(content)
            file.flush()
            os.fsync(file.fileno())
        if verify_digest and digest.hexdigest() != shard.sha256:
            raise TrainError(f"the SHA-256 of {source.text} is not the manifest's; copy it again")

    def _reserve(self, folder: Folder, temporary: str, size: int) -> bool:
        """Make room for a file of `size` bytes and allocate it; return whether there was room."""
        with self._counting() as root:
            folder.unlink(temporary)  # left by a killed process, whose lock is ours now
            files = list(recorded_files(root))
            total = sum(found.st_size for _, _, found in files)
            for dataset, name, found in sorted(files, key=lambda file: file[2].st_mtime_ns):
                if total + size <= self._limit:
                    break
                if self._remove(root, dataset, name):
                    total -= found.st_size
            if total + size > self._limit:
                return False
            descriptor = folder.open_file(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, self._mode)
            try:
                os.fchmod(descriptor, self._mode)
                os.posix_fallocate(descriptor, 0, size)
            finally:
                os.close(descriptor)
            return True

    def _remove(self, root: Folder, dataset: str, name: str) -> bool:
        """Delete a shard that no process has open, or an unfinished one that none writes; return whether it is gone."""
        with suppress(OSError, TrainError), root.subfolder(dataset) as folder:
            if not name.startswith(TEMPORARY_PREFIX):
                return _evict(folder, name)
            lock = _lock_of(name.removeprefix(TEMPORARY_PREFIX))
            with folder.locked(lock, self._mode, wait=False) as is_ours:
                if is_ours:
                    folder.unlink(name)
                return is_ours
        return False


def _name(shard: Shard) -> str:
    return shard.path.replace("/", "-")


def _lock_of(name: str) -> str:
    return f"{LOCK}-{name}"


def _evict(folder: Folder, name: str) -> bool:
    """Delete a shard unless a process has it open; return whether it is gone."""
    try:
        descriptor = folder.open_file(name)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        folder.unlink(name)
    except OSError:  # in use, or another user's
        return False
    finally:
        os.close(descriptor)
    return True

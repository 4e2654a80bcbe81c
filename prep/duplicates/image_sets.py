"""Sets of images that are searched for twins: a prepared dataset, or any folder or tar of images."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from in21k.prep.duplicates.fingerprints import Fingerprints
from in21k.prep.duplicates.hashing import ImagePlace, hash_images, read_images
from in21k.prep.duplicates.twins import IntArray
from in21k.prep.errors import PrepError
from in21k.prep.executor import Workers
from in21k.prep.raw.names import ACCEPTED_SUFFIXES, printable
from in21k.shards_manifest.command.progress import Progress
from in21k.shards_manifest.manifest import MANIFEST, SPLITS, Manifest, read_manifest
from in21k.shards_manifest.sample_table import SampleTable
from in21k.shards_manifest.sidecars import class_names
from in21k.shards_manifest.storage.location import Location
from in21k.shards_manifest.tar import BLOCK, Read, TarError, read_members

_TAR = ".tar"


@dataclass(frozen=True, eq=False)
class ListedSet:
    """A folder or a tar of images, whatever their names and classes are."""

    location: Location
    root: Location
    """What the paths of `places` are relative to."""
    names: Sequence[str]
    """Of the images, as valid Unicode."""
    places: Sequence[ImagePlace]

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def identity(self) -> str:
        """What distinguishes it from other sets, in hexadecimal: its images' names and lengths."""
        listed = [[name, place.offset, place.size] for name, place in zip(self.names, self.places, strict=True)]
        return hashlib.sha256(json.dumps(listed).encode()).hexdigest()[:32]

    def hashed(self, workers: Workers) -> tuple[Fingerprints, tuple[tuple[int, str], ...]]:
        """Return the fingerprints of its images, and those that cannot be read, with the reason."""
        with Progress("hash", "image", len(self)) as bar:
            found = hash_images(self.root, self.places, workers, bar.update)
        return Fingerprints.of_rows(found.rows), found.faults

    def keys(self, images: IntArray) -> list[str]:
        """Return the names of some images."""
        return [self.names[at] for at in images.tolist()]

    def read(self, images: IntArray) -> Iterator[bytes]:
        """Yield the bytes of some images."""
        return read_images(self.root, [self.places[at] for at in images.tolist()])


@dataclass(frozen=True, eq=False)
class PreparedSet:
    """The samples of a prepared dataset, train before val, each split in the order of its shards."""

    location: Location
    manifest: Manifest
    table: SampleTable = field(repr=False)

    def __len__(self) -> int:
        return sum(self.manifest.samples(split) for split in SPLITS)

    @cached_property
    def shards(self) -> list[tuple[str, int]]:
        """The split and the number of each shard."""
        return [(split, number) for split in SPLITS for number in range(len(self.manifest.splits[split]))]

    @cached_property
    def starts(self) -> IntArray:
        """int64 [shards + 1]: the number of each shard's first sample."""
        lengths = [self.manifest.splits[split][number].samples for split, number in self.shards]
        return np.cumsum([0, *lengths])

    @cached_property
    def identity(self) -> str:
        """What distinguishes it from other sets, in hexadecimal."""
        return self.manifest.digest()[:32]

    @cached_property
    def wnids(self) -> list[str]:
        """The labels of its classes, in order of class index."""
        return [wnid for wnid, _ in class_names(self.location)]

    @cached_property
    def class_names(self) -> list[str]:
        """The names of its classes, in order of class index."""
        return [name for _, name in class_names(self.location)]

    @cached_property
    def classes(self) -> npt.NDArray[np.int32]:
        """int32 [n]: each sample's class index."""
        found = [self.table.labeled_index(*shard).class_indices for shard in self.shards]
        return np.concatenate([np.zeros(0, np.int64), *found]).astype(np.int32)

    @cached_property
    def is_val(self) -> npt.NDArray[np.bool_]:
        """Bool [n]: whether each sample is in val."""
        return np.arange(len(self)) >= self.manifest.samples("train")

    def hashed(self, workers: Workers) -> tuple[Fingerprints, tuple[tuple[int, str], ...]]:
        """Return the fingerprints of its samples, and those that cannot be read, with the reason.

        Where an older version wrote no fingerprints, the shards are read; digests of the files are then unknown.
        """
        parts, faults = [], []
        with Progress("hash", "image", len(self)) as bar:
            for at, shard in enumerate(self.shards):
                table = self.table.fingerprints(*shard)
                stored, known = Fingerprints.of_table(table) if table is not None else (None, None)
                if stored is not None and known is not None and known.all():
                    bar.update(len(stored))
                else:
                    images = np.arange(self.starts[at], self.starts[at + 1])
                    found = hash_images(self.location, self._places(images), workers, bar.update)
                    found.rows[:, -1] = 0
                    stored = Fingerprints.of_rows(found.rows)
                    faults += [(int(self.starts[at]) + number, why) for number, why in found.faults]
                parts.append(stored)
        return Fingerprints.joined(parts), tuple(faults)

    def keys(self, images: IntArray) -> list[str]:
        """Return the keys of some samples."""
        keys: list[str] = self._keys.take(pa.array(images)).to_pylist()
        return keys

    def read(self, images: IntArray) -> Iterator[bytes]:
        """Yield the images of some samples."""
        return read_images(self.location, self._places(images))

    @cached_property
    def _keys(self) -> pa.ChunkedArray:
        return pa.chunked_array([self.table.key_column(*shard) for shard in self.shards], pa.string())

    def _places(self, images: IntArray) -> list[ImagePlace]:
        places = [ImagePlace("", 0, 0)] * len(images)
        of_shard = np.searchsorted(self.starts, images, side="right") - 1
        for shard in np.unique(of_shard).tolist():
            split, number = self.shards[shard]
            path, index = self.manifest.splits[split][number].path, self.table.index(split, number)
            rows = self.table.rows(split, number)
            lengths = rows["image_bytes"].to_numpy() if "image_bytes" in rows.column_names else index.sizes - 3 * BLOCK
            for at in np.flatnonzero(of_shard == shard).tolist():
                row = int(images[at] - self.starts[shard])
                places[at] = ImagePlace(path, int(index.offsets[row]) + BLOCK, int(lengths[row]))
        return places


def open_prepared(location: Location) -> PreparedSet:
    """Return the samples of a prepared dataset.

    Raises:
        DatasetError: there is none, or it is damaged.
    """
    manifest = read_manifest(location)
    return PreparedSet(location, manifest, SampleTable(location, manifest))


def open_set(location: Location) -> ListedSet | PreparedSet:
    """Return the images of a prepared dataset, a folder (also those in tars there) or a tar (also those in tars in it).

    Raises:
        DatasetError: it is none of these, or holds no image.
    """
    if location.child(MANIFEST).exists():
        return open_prepared(location)
    if location.exists():
        root, files = location.parent, {location.name: location.size() or 0}
        if not location.name.lower().endswith(_TAR):
            raise PrepError(
                f"{location.text}: give a folder, a prepared dataset, or an uncompressed tar ending in .tar"
            )
    else:
        root, files = location, location.files()
    is_tar = root is not location
    found = [image for path, size in files.items() for image in _images_of(root, path, size, "" if is_tar else path)]
    if not found:
        raise PrepError(f"{location.text} holds no images; give a folder, a prepared dataset, or a tar of images")
    return ListedSet(location, root, [name for name, _ in found], [place for _, place in found])


def _images_of(root: Location, path: str, size: int, name: str) -> Iterator[tuple[str, ImagePlace]]:
    """Yield name and place of a file that is an image by its name, or of those in a tar, below `name`."""
    if path.lower().endswith(_TAR):
        location = root / path
        reader = location.open_ranges()
        try:
            yield from _images_in_tar(reader.read, path, name, slice(0, reader.size))
        except TarError as error:
            raise PrepError(f"{location.text} is not a whole tar: {error}") from error
        finally:
            reader.close()
    elif _is_image(path):
        yield printable(path), ImagePlace(path, 0, size)


def _images_in_tar(read: Read, path: str, name: str, where: slice) -> Iterator[tuple[str, ImagePlace]]:
    """Yield name and place of the images in a tar, and in the tars in it, below `name`."""
    for member in read_members(read, where.start, where.stop):
        inner = f"{name}/{member.name}" if name else member.name
        if member.is_file and member.name.lower().endswith(_TAR):
            yield from _images_in_tar(read, path, inner, slice(member.offset, member.offset + member.size))
        elif member.is_file and _is_image(member.name):
            yield printable(inner), ImagePlace(path, member.offset, member.size)


def _is_image(name: str) -> bool:
    """Return whether a file is an image by its name; hidden files, such as those of macOS, are none."""
    base = name.rpartition("/")[2]
    return not base.startswith(".") and f".{base.rpartition('.')[2].lower()}" in ACCEPTED_SUFFIXES

"""Images in tars, read from where they are: nothing is unpacked."""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from in21k.shards_manifest.storage.ranges import LocalRanges
from in21k.shards_manifest.tar import JUNK, Read, TarError, TarMember, read_joined_members
from in21k.train.arrays import IntArray
from in21k.train.data.open_datasets.image_files import printable
from in21k.train.data.open_datasets.listed import ListedSplit
from in21k.train.errors import TrainError

_OPEN = 64
"""Tars that one process keeps open."""


@dataclass(frozen=True, eq=False)
class TarImages:
    """Where the images of a split are; implements `ImageStore`."""

    paths: tuple[str, ...]
    """Of the tars."""
    tars: IntArray
    """int64 [N]: each image's tar, as an index into `paths`."""
    offsets: IntArray
    """int64 [N]: byte of the tar at which the image file begins."""
    sizes: IntArray
    """int64 [N]: length of the image file in bytes; -1 where a list names an image that is in none of the tars."""

    def open(self) -> "OpenTars":
        """Return the images, open for reading."""
        return OpenTars(self)

    def path(self, row: int) -> str:
        """Return the tar that holds an image."""
        return printable(self.paths[int(self.tars[row])])

    def rows(self, rows: IntArray) -> "TarImages":
        """Return some of the images."""
        return TarImages(self.paths, self.tars[rows], self.offsets[rows], self.sizes[rows])


class OpenTars:
    """The most recently used tars, open in one process; implements `OpenStore`."""

    def __init__(self, images: TarImages) -> None:
        self._images = images
        self._open: OrderedDict[int, LocalRanges] = OrderedDict()

    def image(self, row: int) -> memoryview:
        """Return an image file's bytes.

        Raises:
            TrainError: the tar is missing, or shorter than it was.
        """
        number, size = int(self._images.tars[row]), int(self._images.sizes[row])
        if number not in self._open:
            if len(self._open) >= _OPEN:
                self._open.popitem(last=False)[1].close()
            path = self._images.paths[number]
            self._open[number] = LocalRanges(path, path)
        self._open.move_to_end(number)
        content = self._open[number].read(int(self._images.offsets[row]), size)
        if len(content) < size:
            raise TrainError(f"{self._images.paths[number]} has become shorter since it was indexed; start again")
        return memoryview(content)

    def close(self) -> None:
        """Close all tars."""
        while self._open:
            self._open.popitem()[1].close()


@dataclass
class TarIndex:
    """Where the images of a split are, as far as they have been found."""

    keys: list[str] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    tars: list[int] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)

    def add(self, key: str, label: int, tar: int, member: TarMember) -> None:
        """Add an image.

        Args:
            key: a name, unique in the split.
            label: its class index.
            tar: the tar that holds it, by its number.
            member: the image file.
        """
        self.keys.append(key)
        self.labels.append(label)
        self.tars.append(tar)
        self.offsets.append(member.offset)
        self.sizes.append(member.size)

    def split(self, paths: Sequence[str]) -> ListedSplit:
        """Return the images as a split.

        Args:
            paths: of the tars, by number.
        """
        arrays = (np.array(values, np.int64) for values in (self.tars, self.offsets, self.sizes))
        return ListedSplit(self.keys, np.array(self.labels, np.int64), TarImages(tuple(paths), *arrays))


def listed_in_tars(names: Sequence[str], paths: Sequence[str]) -> TarImages:
    """Return where the images that a list names are in tars; where several have a name, the last one counts.

    Args:
        names: [N]: paths in the tars.
        paths: of the tars.

    Raises:
        TrainError: a tar is damaged or cannot be read.
    """
    rows: dict[str, int] = {}
    row_of_name = np.array([rows.setdefault(name, len(rows)) for name in names], np.int64)
    tars, offsets, sizes = (np.full(len(rows), -1, np.int64) for _ in range(3))
    for number, path in enumerate(paths):
        tar = LocalRanges(path, path)
        try:
            for member in files_in_tar(path, tar.read, 0, tar.size):
                row = rows.get(member.name.removeprefix("./"))
                if row is not None:
                    tars[row], offsets[row], sizes[row] = number, member.offset, member.size
        finally:
            tar.close()
    return TarImages(tuple(paths), tars, offsets, sizes).rows(row_of_name)


def files_in_tar(path: str, read: Read, start: int, end: int) -> Iterator[TarMember]:
    """Yield the regular files of a tar, and of those that are joined to it, in the bytes `start` to `end`.

    Raises:
        TrainError: it is damaged, or something else follows it.
    """
    try:
        for member in read_joined_members(read, start, end):
            if member.type == JUNK:
                raise TrainError(
                    f"{path}: the {member.size:,} bytes from byte {member.offset:,} on are no tar; copy it again"
                )
            if member.is_file:
                yield member
    except TarError as error:
        raise TrainError(f"{path}: {error}; copy it again") from error

"""Image or video files by their names: those of a command line, of folders and of lists, read in loader processes."""

import glob
import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from in21k.shards_manifest.errors import errors_naming, one_line
from in21k.train.arrays import IntArray
from in21k.train.data.interfaces import Sample
from in21k.train.data.open_datasets.image_files import images_below, is_image_name, printable
from in21k.train.data.open_datasets.left_out import LeftOut
from in21k.train.data.open_datasets.videos import is_video_name
from in21k.train.data.partition import PADDING
from in21k.train.errors import TrainError


@dataclass(frozen=True, eq=False)
class ImageFiles(Sequence[Path]):
    """N image files in order; opens readers of them."""

    names: Any
    """A pyarrow large_binary array [N]: paths, as the file system has them. It pickles millions of them quickly."""
    root: str
    """The folder that relative paths start from."""
    is_video: bool = False
    """Whether they are video files."""
    left_out: str = ""
    """Which files in their folders are in no form that is read, in words; empty if there are none."""

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, number: Any) -> Any:
        """Return the path of a number; of a slice, the paths."""
        if isinstance(number, slice):
            return [self[each] for each in range(*number.indices(len(self)))]
        return Path(os.fsdecode(self.names[number].as_py()))

    def __call__(self) -> "FileReader":
        """Return a new reader."""
        return FileReader(self)

    @property
    def digest(self) -> str:
        """SHA-256 of the paths in order; the files themselves are not read."""
        digest = hashlib.sha256()
        for name in self.names:
            digest.update(name.as_py() + b"\0")
        return digest.hexdigest()

    def paths(self, numbers: IntArray) -> list[str | None]:
        """Return the path of each of these files."""
        return [printable(str(self[number])) for number in numbers.tolist()]


class OneByOne(ABC):
    """Reads samples one at a time, when they are needed; one that cannot be read becomes a sample with a fault."""

    reads_ahead = False

    def request(self, numbers: IntArray) -> list[int]:
        """Return the numbers themselves; nothing is read yet."""
        found: list[int] = numbers.tolist()
        return found

    def collect(self, requests: Iterable[int]) -> list[Sample | None]:
        """Return the samples with these numbers, in order; None for PADDING."""
        return [None if number == PADDING else self._sample(number) for number in requests]

    def close(self) -> None:  # noqa: B027 - readers that keep nothing open need not say so
        """Do nothing: no file stays open."""

    @abstractmethod
    def _sample(self, number: int) -> Sample:
        """Return the sample with a number."""


class FileReader(OneByOne):
    """Reads image files."""

    def __init__(self, files: ImageFiles) -> None:
        self._files = files

    def _sample(self, number: int) -> Sample:
        path = self._files[number]
        there = Path(self._files.root, path)
        try:
            if self._files.is_video:
                with there.open("rb"):
                    return Sample(str(path), there, 0)
            content = there.read_bytes()
        except OSError as error:  # its text repeats the path
            return Sample(str(path), memoryview(b""), 0, error.strerror or one_line(error))
        return Sample(str(path), memoryview(content), 0)


def image_files(paths: Iterable[Path], *, is_video: bool = False) -> ImageFiles:
    """Return image files, or video files, by their paths, whether or not they are there."""
    return ImageFiles(pa.array(map(os.fsencode, paths), pa.large_binary()), str(Path.cwd()), is_video)


def found_images(given: Iterable[Path], listed: Iterable[Path] = (), *, is_video: bool = False) -> ImageFiles:
    """Return the image files that a user names, in order.

    Args:
        given: files; folders, which stand for all images below them; and patterns such as `photos/**/*.jpg`, which
            stand for the images that they match. Both are sorted by path, without hidden ones.
        listed: files.
        is_video: whether videos are meant.

    Raises:
        TrainError: a folder contains no images, a pattern matches none, or the list is empty and nothing is given.
        DatasetError: a folder cannot be read.
    """
    left_out = LeftOut(is_video_name if is_video else is_image_name)
    named = (each for source in (_expanded(given, left_out, is_video=is_video), listed) for each in source)
    files = image_files(named, is_video=is_video)
    files = files if is_video else replace(files, left_out=left_out.text)
    if not files:
        raise TrainError("the list of images is empty; write one path per line")
    return files


def read_list(lines: Iterable[bytes], name: str) -> Iterator[Path]:
    """Yield the paths in a list of one per line; empty lines are left out.

    Args:
        lines: of the list, with their line ends.
        name: what to call it in messages.

    Raises:
        TrainError: it is no list of paths.
    """
    for number, line in enumerate(lines, 1):
        if b"\0" in line:
            raise TrainError(f"{name}: line {number} has a NUL byte, so it is no list of paths; give one path per line")
        if path := line.rstrip(b"\r\n"):
            yield Path(os.fsdecode(path))


def _matched(pattern: Path, *, is_video: bool) -> list[Path]:
    """Return the images that a pattern matches, sorted; `**` stands for any number of folders."""
    is_named = is_video_name if is_video else is_image_name
    matched = glob.iglob(str(pattern), recursive=True)  # noqa: PTH207 - Path.glob takes no absolute patterns
    found = sorted(name for name in matched if is_named(name) and Path(name).is_file())
    if not found:
        what = "videos" if is_video else "images"
        raise TrainError(f"{pattern} matches no {what}; give another pattern, or a folder")
    return [Path(name) for name in found]


def _expanded(given: Iterable[Path], left_out: LeftOut, *, is_video: bool) -> Iterator[Path]:
    for path in given:
        if not path.is_dir():
            is_pattern = glob.has_magic(str(path)) and not path.exists()
            yield from _matched(path, is_video=is_video) if is_pattern else (path,)
            continue
        with errors_naming(str(path)):
            found = sorted(images_below(path, "", is_named=left_out.beside(path)))
        if not found:
            what = "videos" if is_video else "images"
            if not is_video and left_out.photos:
                raise TrainError(f"{path} contains no images that can be read, but {left_out.photos}")
            raise TrainError(f"{path} contains no {what}; name another folder, or files")
        yield from (path / name[1:] for name in found)

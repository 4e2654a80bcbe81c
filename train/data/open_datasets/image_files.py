"""Image files below a folder: which ones there are, their names in untrusted lists, and their bytes."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from in21k.train.errors import TrainError

EXTENSIONS = frozenset((".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"))
"""Of image files, in upper or lower case; other files are ignored."""

_MACOS_FOLDER = "__MACOSX"

_Identity = tuple[int, int]
"""Device and inode of a folder."""


@dataclass(frozen=True, eq=False)
class FolderFiles:
    """Files below a folder, none of which stays open."""

    root: str
    names: Any
    """A pyarrow binary array [N]: paths below the root, as the file system has them."""

    def file(self, row: int) -> Path:
        """Return a file's path."""
        return Path(self.root, os.fsdecode(self.names[row].as_py()))

    def path(self, row: int) -> str:
        """Return a file's path, for messages and tables."""
        return printable(os.path.join(self.root, os.fsdecode(self.names[row].as_py())))  # noqa: PTH118 - millions

    def close(self) -> None:
        """Do nothing: no file stays open."""


@dataclass(frozen=True, eq=False)
class FolderImages(FolderFiles):
    """Image files below a folder; implements both `ImageStore` and `OpenStore`."""

    def open(self) -> "FolderImages":
        """Return the images themselves."""
        return self

    def image(self, row: int) -> memoryview:
        """Return an image file's bytes.

        Raises:
            OSError: it cannot be read.
        """
        return memoryview(self.file(row).read_bytes())


def is_metadata(path: str) -> bool:
    """Return whether a path is one that macOS writes beside files, such as `__MACOSX/ant/._1.jpg`."""
    base = path[path.rfind("/") + 1 :]  # plain strings are fast, and there may be millions
    return base[:2] == "._" or base == ".DS_Store" or (_MACOS_FOLDER in path and _MACOS_FOLDER in path.split("/"))


def is_image_name(path: str) -> bool:
    """Return whether a path is an image's by its extension, neither hidden nor macOS's."""
    return has_extension(path, EXTENSIONS)


def has_extension(path: str, extensions: frozenset[str]) -> bool:
    """Return whether a path has one of these extensions, in upper or lower case, and is neither hidden nor macOS's."""
    base = path[path.rfind("/") + 1 :]
    return base[:1] != "." and os.path.splitext(base)[1].lower() in extensions and not is_metadata(path)  # noqa: PTH122


def globbed(folder: Path, pattern: str) -> list[Path]:
    """Return what matches a pattern in a folder, sorted, without hidden files and what macOS writes beside others."""
    return sorted(path for path in folder.glob(pattern) if path.name[0] != "." and path.parent.name != _MACOS_FOLDER)


def printable(name: str) -> str:
    """Return a name from a file system or a tar as valid Unicode; those that cannot be decoded remain distinct."""
    return name.encode("utf-8", "backslashreplace").decode()


def subfolders(folder: Path) -> list[str]:
    """Return the names of the folders in a folder, sorted: links to folders, too, but none that leads back to it.

    Hidden folders and macOS's are left out.
    """
    above = _with_those_above(folder)
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if not _is_hidden(entry.name) and _enters(entry, above))


def images_below(
    folder: Path, below: str, *, must_exist: bool = False, is_named: Callable[[str], bool] = is_image_name
) -> Iterator[str]:
    """Yield the image files below a folder, as `below` and their path in it.

    Links are followed, but none that leads back to a folder around itself. Hidden files and macOS's are left out.

    Args:
        folder: the folder.
        below: what the paths begin with.
        must_exist: whether a link that leads nowhere is an error; otherwise whoever reads the images notices.
        is_named: whether a path is of the files that are meant, by its name; image files by default.

    Raises:
        TrainError: under an image's name, there is a link that leads nowhere, or no file.
    """
    for path, is_there in _named(str(folder), below, _with_those_above(folder), is_named):
        if must_exist and not is_there:
            there = folder / path.removeprefix(f"{below}/")
            raise TrainError(f"{there} is no file, nor leads to one; restore it, or remove it")
        yield path


def _named(
    folder: str, below: str, above: frozenset[_Identity], is_named: Callable[[str], bool]
) -> Iterator[tuple[str, bool]]:
    """Yield what is named as is meant, and whether it is a file or leads to one."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if _is_hidden(entry.name):
                continue
            path = f"{below}/{entry.name}"
            if _is_folder(entry):
                if (identity := _identity(entry)) not in above:
                    yield from _named(entry.path, path, above | {identity}, is_named)
            elif is_named(path):
                yield path, is_file(entry)


def _is_hidden(name: str) -> bool:
    return name[0] == "." or name == _MACOS_FOLDER


def _enters(entry: os.DirEntry[str], above: frozenset[_Identity]) -> bool:
    return _is_folder(entry) and _identity(entry) not in above


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link in a circle
        return False


def is_file(entry: os.DirEntry[str]) -> bool:
    """Return whether an entry of a folder is a file, or a link that leads to one; only links are looked up."""
    try:
        return entry.is_file()
    except OSError:  # a link in a circle
        return False


def _identity(entry: os.DirEntry[str]) -> _Identity:
    found = entry.stat()
    return found.st_dev, found.st_ino


def _with_those_above(folder: Path) -> frozenset[_Identity]:
    real = folder.resolve()
    return frozenset((found.st_dev, found.st_ino) for found in (path.stat() for path in (real, *real.parents)))


def safe_name(name: object, source: str) -> str:
    """Return a relative path found in an untrusted file, once it is known to be safe.

    Args:
        name: the path.
        source: the file, for messages.

    Raises:
        TrainError: it is not text, is absolute, or leads out of the folder.
    """
    if not isinstance(name, str) or not name or "\0" in name or "\\" in name:
        raise TrainError(f"{source} names the image {str(name)[:80]!r}, which is not a relative path")
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise TrainError(f"{source} names the image {name[:80]!r}, which is outside the image folder")
    return str(path)

"""Dumps that are a folder: of class tars, of class folders, or the official processed release."""

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow.fs as pafs

from in21k.prep.errors import PrepError
from in21k.prep.raw.dump import RawClass, RawDump
from in21k.prep.raw.names import GIVEN_SPLITS, name_reject
from in21k.prep.raw.tars import class_tar_images
from in21k.prep.records import RawImage, Reject
from in21k.shards_manifest.storage.location import Location

_FOLDER = pafs.FileType.Directory


def open_folder(location: Location) -> RawDump:
    """Return the dump in a folder.

    Raises:
        PrepError: it holds neither class tars nor class folders.
    """
    entries = _entries(location, "")
    if any(_is_class_tar(entry) for entry in entries):
        return ClassTarFolder(location, entries)
    prefix = ""
    folders = [entry.base_name for entry in entries if entry.type == _FOLDER]
    if len(folders) == 1 and folders[0] not in GIVEN_SPLITS:  # the release unpacks to a folder of its own
        inner = [entry.base_name for entry in _entries(location, folders[0]) if entry.type == _FOLDER]
        if any(name in GIVEN_SPLITS for name in inner):
            prefix, folders = f"{folders[0]}/", inner
    given = [name for name in folders if name in GIVEN_SPLITS]
    if given:
        classes = [
            (f"{prefix}{name}/{entry.base_name}", GIVEN_SPLITS[name])
            for name in given
            for entry in _entries(location, f"{prefix}{name}")
            if entry.type == _FOLDER
        ]
        return ClassFolders(location, classes, "processed-release")
    if not folders:
        raise PrepError(f"{location.text} holds neither class tars (such as n02084071.tar) nor class folders")
    return ClassFolders(location, [(name, "") for name in folders], "class-folders")


class ClassTarFolder:
    """A folder of class tars."""

    layout = "class-tars"
    unit = "class"

    def __init__(self, location: Location, entries: Sequence[Any]) -> None:
        self._location = location
        self._tars = [entry for entry in entries if _is_class_tar(entry)]
        self.size = len(self._tars)

    def identity(self) -> dict[str, Any]:
        """Return the layout, the number of class tars, and a digest of their names and lengths."""
        names = "".join(f"{entry.base_name}\0{entry.size}\n" for entry in self._tars)
        return {"layout": self.layout, "classes": self.size, "names_sha256": _sha256(names)}

    def classes(self) -> Iterator[RawClass]:
        """Yield a class per tar; a damaged tar gives its readable images, and a reject for the damage."""
        for number, entry in enumerate(self._tars, 1):
            archive: str = entry.base_name
            wnid = archive.removesuffix(".tar")
            reader = self._location.child(archive).open_ranges()
            try:
                found = class_tar_images(reader, wnid, archive, 0, reader.size)
            finally:
                reader.close()
            yield RawClass(wnid, found.images, found.rejects, number)


class ClassFolders:
    """A folder of class folders, or one such folder per given split."""

    unit = "class"

    def __init__(self, location: Location, classes: Sequence[tuple[str, str]], layout: str) -> None:
        self._location = location
        self._classes = classes
        self.layout = layout
        self.size = len(classes)

    def identity(self) -> dict[str, Any]:
        """Return the layout, the number of class folders, and a digest of their names, not of all images'."""
        names = "".join(f"{name}\n" for name, _ in self._classes)
        return {"layout": self.layout, "classes": self.size, "names_sha256": _sha256(names)}

    def classes(self) -> Iterator[RawClass]:
        """Yield a class per folder."""
        for number, (folder, split) in enumerate(self._classes, 1):
            wnid = folder.rpartition("/")[2]
            images: list[RawImage] = []
            rejects: list[Reject] = []
            for entry in _entries(self._location, folder):
                if entry.type == _FOLDER:
                    continue
                is_file = entry.type == pafs.FileType.File
                refused = name_reject(wnid, entry.base_name, entry.size or 0, is_file, str(entry.type))
                if refused is None:
                    images.append(
                        RawImage(
                            name=entry.base_name,
                            archive=f"{folder}/{entry.base_name}",
                            offset=0,
                            size=entry.size,
                            given_split=split,
                        )
                    )
                else:
                    rejects.append(refused)
            yield RawClass(wnid, images, rejects, number)


def _entries(location: Location, folder: str) -> list[Any]:
    """Return the entries of a folder in byte order of names."""
    place = location.child(folder) if folder else location
    entries = place.filesystem.get_file_info(pafs.FileSelector(place.path))
    return sorted(entries, key=lambda entry: entry.base_name.encode("utf-8", "surrogateescape"))


def _is_class_tar(entry: Any) -> bool:
    name: str = entry.base_name
    return entry.type == pafs.FileType.File and name.endswith(".tar") and not name.startswith("._")


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()

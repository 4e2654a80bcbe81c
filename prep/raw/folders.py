"""Dumps that are a folder: of class tars and class folders, or the official processed release."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from in21k.prep.errors import PrepError
from in21k.prep.raw.class_labels import PATHS, WNIDS, ClassLabels
from in21k.prep.raw.dump import RawClass, RawDump
from in21k.prep.raw.entries import Entry, entries_of, is_tar
from in21k.prep.raw.gzip_ranges import GzipRanges, open_archive_file
from in21k.prep.raw.members import Found, reject
from in21k.prep.raw.names import GIVEN_SPLITS, MACOS_FOLDER, name_reject, printable, stored_path, tar_stem
from in21k.prep.raw.tars import class_tar_images, of_class
from in21k.prep.records import RawImage, Reason, Reject
from in21k.shards_manifest.storage.location import Location

_DEEPEST = 3
"""How many folders may lie around the one with the classes."""
_MOST_FOLDERS = 100
"""How many folders are searched for classes where none is named as one."""


@dataclass(frozen=True)
class _Place:
    """A class tar or class folder in the dump."""

    path: str
    """Relative to the dump."""
    size: int
    is_tar: bool
    split: str = ""
    by_path: bool = False
    """Whether its path is its label, and the folders within it are classes of their own."""

    @property
    def wnid(self) -> str:
        """The class; empty where it is none."""
        name = self.path if self.by_path else self.path.rpartition("/")[2]
        if MACOS_FOLDER in self.path.split("/"):
            return ""
        return printable(tar_stem(name) if self.is_tar else name)


@dataclass(frozen=True)
class _ClassesFolder:
    """The folder in a dump that holds the classes."""

    prefix: str
    """Its path with a slash behind it; empty for the dump itself."""
    entries: list[Entry]
    beside: list[Entry]
    """What lies beside it and the folders around it."""


def open_folder(location: Location, work: Location, labels: ClassLabels = WNIDS) -> RawDump:
    """Return the dump in a folder.

    Args:
        location: the folder.
        work: the work folder, which stores the indices of gzipped class tars.
        labels: how its folders and tars name classes.

    Raises:
        PrepError: it holds neither class tars nor class folders, several folders with them, or a tar that is no class.
    """
    if labels.by_path:
        return _open_nested(location, work)
    holder = _classes_folder(location, "", entries_of(location, ""), _DEEPEST, labels)
    prefix, entries = holder.prefix, holder.entries
    places, others = _places(prefix, entries, labels)
    layout = _layout(places)
    given = [entry for entry in entries if entry.is_folder and entry.name in GIVEN_SPLITS]
    if given and layout == "class-folders":
        inner = [(release, entry) for release in given for entry in entries_of(location, f"{prefix}{release.name}")]
        places = [
            _Place(f"{prefix}{release.name}/{entry.name}", 0, False, GIVEN_SPLITS[release.name])
            for release, entry in inner
            if entry.is_folder
        ]
        others = [entry for entry in entries if entry not in given]
        others += [entry for _, entry in inner if not entry.is_folder]
        layout = "processed-release"
    if not places:
        raise PrepError(
            f"{location.text} holds neither class tars (such as n02084071.tar) nor class folders; if its files are the "
            f"pieces of one dump, give them as a pattern ('{location.text.rstrip('/')}/*')"
        )
    if len(places) == 1 and places[0].is_tar and not labels.is_label(printable(places[0].wnid)):
        whole = location.child(printable(places[0].path)).text
        raise PrepError(
            f"{location.text} holds one tar, which is not named as a class; if it is the dump, give {whole}"
        )
    rejects = [beside_reject(entry) for entry in [*holder.beside, *others]]
    return FolderDump(location, work, layout, places, rejects, labels)


def _open_nested(location: Location, work: Location) -> RawDump:
    """Return the dump in nested folders, each of which is a class if it holds files; so is each tar.

    Raises:
        PrepError: no folder in it holds a file.
    """
    top = entries_of(location, "")
    places = sorted(_nested_places(location, "", top), key=lambda place: place.path.encode("utf-8", "surrogateescape"))
    if not places:
        raise PrepError(f"{location.text} holds no folders with images; give the outermost folder of the taxonomy")
    beside = [beside_reject(entry) for entry in top if not (entry.is_folder or is_tar(entry))]
    return FolderDump(location, work, "nested-class-folders", places, beside, PATHS)


def _nested_places(location: Location, folder: str, entries: list[Entry]) -> Iterator[_Place]:
    """Yield the classes below a folder: the tars, and the folders that hold anything but folders and tars."""
    for entry in entries:
        path = f"{folder}/{entry.name}" if folder else entry.name
        if is_tar(entry):
            yield _Place(path, entry.size, is_tar=True, by_path=True)
        elif entry.is_folder and not (folder and entry.link):  # deeper links might lead back up
            inner = entries_of(location, path)
            if any(_is_in_class(each) for each in inner):
                yield _Place(path, 0, is_tar=False, by_path=True)
            yield from _nested_places(location, path, inner)


def _is_in_class(entry: Entry) -> bool:
    """Return whether an entry of a nested folder belongs to that folder's class, and is no class itself."""
    return bool(entry.link) if entry.is_folder else not is_tar(entry)


class FolderDump:
    """A folder of class tars and class folders."""

    is_mixed: Literal[False] = False
    unit = "class"

    def __init__(
        self,
        location: Location,
        work: Location,
        layout: str,
        places: Sequence[_Place],
        rejects: list[Reject],
        labels: ClassLabels = WNIDS,
    ) -> None:
        self._location = location
        self._work = work
        self._labels = labels
        self._places = places
        self._rejects = rejects
        self.layout = layout
        self.size = len(places)

    def identity(self) -> dict[str, Any]:
        """Return the layout, the number of classes, and a digest of their names and of class tars' lengths."""
        names = "".join(f"{each.path}\0{each.size}\n" if each.is_tar else f"{each.path}\n" for each in self._places)
        return {"layout": self.layout, "classes": self.size, "names_sha256": _sha256(names)}

    def classes(self) -> Iterator[RawClass]:
        """Yield a class per tar or folder; a damaged tar gives its readable images, and a reject for the damage."""
        if self._rejects:
            yield RawClass("", [], self._rejects, 0)
        for number, place in enumerate(self._places, 1):
            if place.is_tar:
                found = self._of_tar(place)
                yield RawClass(place.wnid, found.images, found.rejects, number)
            else:
                of_folder = self._of_folder(place)
                for wnid, found in of_folder.items():
                    holds = found.images or found.rejects or len(of_folder) == 1
                    if holds or self._labels is WNIDS:  # a folder around classes alone is none, except by its wnid
                        yield of_class(wnid, found, number)

    def _of_tar(self, place: _Place) -> Found:
        archive = stored_path(place.path)
        reader = open_archive_file(self._location, archive, self._work)
        try:
            found = class_tar_images(reader, place.wnid, archive, 0, reader.size)
            if isinstance(reader, GzipRanges):
                reader.save_index()
        except PrepError as error:  # the gzip is damaged
            return Found(rejects=[reject(place.wnid, "", Reason.CORRUPT_TAR, str(error))])
        finally:
            reader.close()
        return found

    def _of_folder(self, place: _Place) -> dict[str, Found]:
        """Return what a class folder holds by class: folders in it that are named as classes are classes."""
        found = {place.wnid: Found()}
        folders = [(place.path, place.wnid, place.path)]
        while folders:
            folder, wnid, around = folders.pop()
            for entry in entries_of(self._location, folder):
                if place.by_path and not _is_in_class(entry):
                    continue
                path = f"{folder}/{entry.name}"
                if entry.is_folder and not entry.link:
                    name = printable(entry.name)
                    folders.append((path, name, path) if self._labels.is_label(name) else (path, wnid, around))
                    found.setdefault(folders[-1][1], Found())
                else:
                    _sort_file(entry, path, around, wnid, place.split, found[wnid])
        return found


def _sort_file(entry: Entry, path: str, around: str, wnid: str, split: str, found: Found) -> None:
    """Add a file to what was found; `around` is the path of the folder that is its class."""
    kind = f"a link to {printable(entry.link)}" if entry.link else "neither a file nor a folder"
    refused = name_reject(wnid, entry.name, entry.size, entry.is_file, kind)
    if refused is not None:
        found.rejects.append(refused)
        return
    found.images.append(
        RawImage(
            name=printable(path[len(around) + 1 :]),
            archive=stored_path(path),
            offset=0,
            size=entry.size,
            given_split=split,
        )
    )


def _classes_folder(
    location: Location, prefix: str, entries: list[Entry], deepest: int, labels: ClassLabels
) -> _ClassesFolder:
    """Return the folder that holds the classes: this one, or the only one below it that has any.

    Raises:
        PrepError: several folders hold classes.
    """
    here = _ClassesFolder(prefix, entries, [])
    folders = [entry for entry in entries if entry.is_folder and entry.name != MACOS_FOLDER]
    if not deepest or _holds(entries, labels):
        return here
    inner = [
        (folder, _classes_folder(location, f"{prefix}{folder.name}/", below, deepest - 1, labels))
        for folder in folders[:_MOST_FOLDERS]
        for below in [entries_of(location, f"{prefix}{folder.name}")]
    ]
    holding = [(folder, found) for folder, found in inner if _holds(found.entries, labels)]
    if len(holding) > 1:
        named = ", ".join(location.child(printable(found.prefix.rstrip("/"))).text for _, found in holding[:5])
        raise PrepError(f"{location.text} holds several folders of classes; give one of them: {named}")
    if not holding:
        return here
    around, found = holding[0]
    return replace(found, beside=[*(entry for entry in entries if entry is not around), *found.beside])


def _holds(entries: list[Entry], labels: ClassLabels) -> bool:
    return any(_is_class(entry, labels) or (entry.is_folder and entry.name in GIVEN_SPLITS) for entry in entries)


def _is_class(entry: Entry, labels: ClassLabels) -> bool:
    """Return whether an entry is a class tar or class folder, by the label in its name."""
    if not (entry.is_folder or is_tar(entry)):
        return False
    return labels.is_label(printable(entry.name if entry.is_folder else tar_stem(entry.name)))


def _places(prefix: str, entries: list[Entry], labels: ClassLabels) -> tuple[list[_Place], list[Entry]]:
    """Return the class tars and class folders among entries, and the others.

    Beside class tars, only folders that are named as classes are class folders.
    """
    has_tars = any(is_tar(entry) for entry in entries)
    places, others = [], []
    for entry in entries:
        if is_tar(entry):
            places.append(_Place(f"{prefix}{entry.name}", entry.size, is_tar=True))
        elif entry.is_folder and (not has_tars or labels.is_label(printable(entry.name))):
            places.append(_Place(f"{prefix}{entry.name}", 0, is_tar=False))
        else:
            others.append(entry)
    return places, others


def _layout(places: Sequence[_Place]) -> str:
    kinds = {place.is_tar for place in places}
    return {(True,): "class-tars", (False, True): "class-tars-and-folders"}.get(tuple(sorted(kinds)), "class-folders")


def beside_reject(entry: Entry) -> Reject:
    """Return the reject for what lies beside the classes of a dump."""
    if entry.link and not entry.is_file:
        detail = f"a link to {printable(entry.link)}"
    else:
        detail = "a folder beside the classes" if entry.is_folder else f"{entry.size} bytes, beside the classes"
    is_image = entry.is_file and name_reject("", entry.name, 0, True, "") is None
    return reject("", entry.name, Reason.NOT_IN_A_CLASS if is_image else Reason.NOT_A_CLASS_TAR, detail)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()

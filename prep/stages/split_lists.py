"""Published splits: which images two lists name for train and for val, a path and perhaps a label per line."""

import io
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from in21k.prep.errors import PrepError
from in21k.shards_manifest.storage.location import Location

LISTS = {"train": "train-list.txt", "val": "val-list.txt"}
"""The copies in the work folder, by split."""
_LONGEST_LINE = 1 << 14
_BLOCK = 1 << 20
_SHOWN = 5

Hash = Callable[[str, str], int]
"""Returns 64 bits by which an image is known, of its class and its file name, with or without folders within it."""

_Numbers = npt.NDArray[Any]


@dataclass
class SplitLists:
    """The images of two lists, by hash; remembers which of them the dump has."""

    hashes: npt.NDArray[np.uint64]
    """uint64 [n]: by which the listed images are known, ascending: one by its path in the class, and by its file name
    alone where that tells it from the others."""
    lines: npt.NDArray[np.int64]
    """int64 [n]: the line of each, from 1; negative in the val list."""
    is_name: npt.NDArray[np.bool_]
    """bool [n]: whether it is a file name alone, of a line with folders within the class."""
    dropped: int = 0
    """Lines whose class is in the dump, but not kept."""
    unknown: list[str] = field(default_factory=list)
    """The first lines that name no class of the dump, in words."""
    without_class: int = 0
    """The number of those lines."""

    def __post_init__(self) -> None:
        self._found = np.zeros(len(self.hashes), np.bool_)

    def splits(self, hashes: Sequence[int], by_path: Sequence[bool]) -> list[str]:
        """Return the split of each of some images, empty for one that neither list names.

        Args:
            hashes: by which they are known.
            by_path: whether each is known by its path alone, since several have its name.
        """
        wanted = np.array(hashes, np.uint64)
        if not len(self.hashes):
            return [""] * len(wanted)
        at = np.minimum(np.searchsorted(self.hashes, wanted), len(self.hashes) - 1)
        is_listed = (self.hashes[at] == wanted) & ~(self.is_name[at] & np.array(by_path, np.bool_))
        self._found[at[is_listed]] = True
        splits: list[str] = np.where(is_listed, np.where(self.lines[at] < 0, "val", "train"), "").tolist()
        return splits

    @property
    def unmatched(self) -> int:
        """The number of lines that name nothing in the dump."""
        return self.without_class + len(self._lost)

    @property
    def _lost(self) -> npt.NDArray[np.int64]:
        """The lines that name no image of the dump, neither by path nor by name, ascending."""
        return np.setdiff1d(self.lines, self.lines[self._found])

    def first_unmatched(self, work: Location) -> list[str]:
        """Return the first lines that name nothing in the dump, in words."""
        named = list(self.unknown)
        for split, sign in (("train", 1), ("val", -1)):
            lost = np.sort(np.abs(self._lost[self._lost * sign > 0]))[: _SHOWN - len(named)].tolist()
            if lost:
                lines = islice(_lines(work / LISTS[split]), lost[-1])  # as many at most, since blank ones are left out
                named += [_words(split, number, line) for number, line in lines if number in lost]
        return named


def read_split_lists(work: Location, kept: Mapping[str, bool], hash_of: Hash) -> SplitLists:
    """Return what the lists in a work folder name.

    Args:
        work: the work folder, with both lists.
        kept: the classes of the dump, and whether each is kept.
        hash_of: by which an image is known.

    Raises:
        PrepError: a file is not such a list, or both name the same image.
    """
    hashes, numbers = array("Q"), array("q")
    by_name = array("Q"), array("Q"), array("q")
    lists = SplitLists(np.empty(0, np.uint64), np.empty(0, np.int64), np.empty(0, np.bool_))
    for split, sign in (("train", 1), ("val", -1)):
        for number, line in _lines(work / LISTS[split]):
            found = image_of(path_of(line), kept)
            if found is None:
                lists.without_class += 1
                if len(lists.unknown) < _SHOWN:
                    lists.unknown.append(_words(split, number, line))
            elif kept[found[0]]:
                label, name = found
                hashes.append(hash_of(label, name))
                numbers.append(sign * number)
                if "/" in name:
                    row = hash_of(label, name.rpartition("/")[2]), hashes[-1], numbers[-1]
                    for column, value in zip(by_name, row, strict=True):
                        column.append(value)
            else:
                lists.dropped += 1
    known, lines = np.frombuffer(hashes, np.uint64), np.frombuffer(numbers, np.int64)
    order = np.argsort(known, kind="stable")
    known, lines = known[order], lines[order]
    _require_apart(known, lines)
    first = np.append(True, known[1:] != known[:-1])[: len(known)]
    columns = _with_names(known[first], lines[first], *map(np.asarray, by_name))
    return SplitLists(*columns, lists.dropped, lists.unknown, lists.without_class)


def _with_names(
    known: _Numbers, lines: _Numbers, names: _Numbers, paths: _Numbers, name_lines: _Numbers
) -> tuple[_Numbers, _Numbers, _Numbers]:
    """Return the columns of `SplitLists`: of the listed images, and of names alone unless several paths have the name.

    Args:
        known: hashes of the paths in their classes.
        lines: of the former.
        names: hashes of the names of those that have folders.
        paths: hashes of the same ones' paths.
        name_lines: their lines.
    """
    order = np.lexsort((paths, names))
    names, paths, name_lines = names[order], paths[order], name_lines[order]
    is_first = np.append(True, names[1:] != names[:-1])[: len(names)]
    group = np.cumsum(is_first) - 1
    several = np.unique(group[paths != paths[is_first][group]])
    clear = is_first & ~np.isin(group, several) & ~np.isin(names, known)
    is_name = np.arange(len(known) + clear.sum()) >= len(known)
    known, lines = np.append(known, names[clear]), np.append(lines, name_lines[clear])
    order = np.argsort(known, kind="stable")
    return known[order], lines[order], is_name[order]


def listed_classes(work: Location, classes: Iterable[str]) -> set[str]:
    """Return those of a dump's classes of which the lists in a work folder name an image.

    Raises:
        PrepError: a file is not such a list.
    """
    known = dict.fromkeys(classes, True)
    found = (image_of(path_of(line), known) for split in LISTS for _, line in _lines(work / LISTS[split]))
    return {image[0] for image in found if image is not None}


def path_of(line: str) -> str:
    """Return the path of a line, without a label: what stands behind a tab, or a number in the end."""
    if "\t" in line:
        return line.partition("\t")[0]
    path, _, label = line.rpartition(" ")
    return path.rstrip() if path and label.lstrip("-").isdecimal() else line


def image_of(path: str, classes: Mapping[str, bool]) -> tuple[str, str] | None:
    """Return the class of an image and its path in it; None if no class of the dump is in its path.

    The class is the longest run of folders that is one, the innermost of equals; without such folders, what stands
    before the name's first underscore, as in ImageNet's names.
    """
    *folders, name = path.replace("\\", "/").split("/")
    for length in range(len(folders), 0, -1):
        for start in range(len(folders) - length, -1, -1):
            label = "/".join(folders[start : start + length])
            if label in classes:
                return label, "/".join([*folders[start + length :], name])
    label = name.partition("_")[0]
    return (label, name) if label in classes else None


def _require_apart(hashes: npt.NDArray[np.uint64], lines: npt.NDArray[np.int64]) -> None:
    """Refuse lists of which both name the same image."""
    clash = np.flatnonzero((hashes[1:] == hashes[:-1]) & ((lines[1:] < 0) != (lines[:-1] < 0)))
    if len(clash):
        first, second = (int(lines[clash[0] + step]) for step in (0, 1))
        train, val = max(first, second), -min(first, second)
        raise PrepError(
            f"--split-file: line {train} of the first list and line {val} of the second name the same image; "
            "an image is in one split"
        )


def _lines(location: Location) -> Iterator[tuple[int, str]]:
    """Yield the lines of a list that are not blank, with their numbers from 1."""
    for number, line in enumerate(_all_lines(location), 1):
        stripped = line.strip("\r\n \t")
        if len(line) > _LONGEST_LINE or "\0" in line or not (line.isascii() or _is_text(line)):
            raise PrepError(f"--split-file: {location.text}, line {number} is no path and label")
        if stripped:
            yield number, stripped


def _all_lines(location: Location) -> Iterator[str]:
    """Yield all lines, blank ones too, and a line that is too long up to where that shows."""
    with location.open_input() as file:
        text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="\n")
        rest = ""
        while block := text.read(_BLOCK):
            *lines, rest = (rest + block).split("\n")
            yield from lines
            if len(rest) > _LONGEST_LINE:
                break
        if rest:
            yield rest


def _is_text(line: str) -> bool:
    return not any("\ud800" <= sign <= "\udfff" for sign in line)


def _words(split: str, number: int, line: str) -> str:
    return f"{split} list, line {number}: {line[:100]!r}"

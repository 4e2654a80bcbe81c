"""Checks of the hierarchy: its classes are the dataset's, and its columns agree."""

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from in21k.shards_manifest.manifest import CLASSES, HIERARCHY
from in21k.shards_manifest.verify.subject import Observations, Subject

_MOST_LEVELS = 256
"""As in the package `tree`: of a hierarchy that goes deeper, paths are not compared."""


def other_classes(subject: Subject) -> Observations:
    """Yield how the hierarchy's classes differ from the manifest's."""
    indices = subject.hierarchy["class_index"].to_numpy()
    if not np.array_equal(indices, np.arange(len(indices))):
        yield HIERARCHY, "the rows are not in order of class_index"
    if _class_list_digest(subject.wnids) != subject.manifest.class_list_sha256:
        yield HIERARCHY, "its wnids do not have the manifest's class_list_sha256"


def other_kept_classes(subject: Subject) -> Observations:
    """Yield how the kept classes of classes.parquet differ from the manifest's."""
    kept = subject.classes.filter(subject.classes["kept"]).sort_by("class_index")
    if kept["class_index"].to_pylist() != list(range(subject.manifest.classes)):
        yield CLASSES, f"the class indices of kept classes are not 0 to {subject.manifest.classes - 1}"
    if _class_list_digest(kept["wnid"].to_pylist()) != subject.manifest.class_list_sha256:
        yield CLASSES, "the kept wnids do not have the manifest's class_list_sha256"


def broken_parents(subject: Subject) -> Observations:
    """Yield the classes whose parent is not a class, and whether the parents form a cycle."""
    parents = _parents(subject)
    count = len(parents)
    for index in np.flatnonzero((parents < -1) | (parents >= count)).tolist():
        yield HIERARCHY, f"{subject.wnids[index]} has the parent {parents[index]}, which is not a class index"
    if len(parents) and _levels(parents) is None and (parents < count).all():
        yield HIERARCHY, f"the parents form a cycle, or a chain of over {_MOST_LEVELS} levels"
    for index, wnid in enumerate(subject.hierarchy["parent_wnid"].to_pylist()):
        parent = int(parents[index])
        if -1 <= parent < count and wnid != (subject.wnids[parent] if parent >= 0 else None):
            yield HIERARCHY, f"{subject.wnids[index]}: parent_wnid {wnid} is not the wnid of parent_index {parent}"


def contradictions(subject: Subject) -> Observations:
    """Yield the classes whose level, path or children contradict the parents."""
    parents = _parents(subject)
    levels = _levels(parents)
    if levels is None:
        return  # reported as E502
    table = subject.hierarchy
    children: list[list[int]] = [[] for _ in parents]
    for index, parent in enumerate(parents.tolist()):
        if parent >= 0:
            children[parent].append(index)
    for name, expected in (
        ("level", levels.tolist()),
        ("path", [_path(parents, index) for index in range(len(parents))]),
        ("children", children),
    ):
        for index, found in enumerate(table[name].to_pylist()):
            if found != expected[index]:
                yield HIERARCHY, f"{subject.wnids[index]}: {name} {found} contradicts the parents: {expected[index]}"


def _parents(subject: Subject) -> npt.NDArray[np.int64]:
    parents: npt.NDArray[np.int64] = subject.hierarchy["parent_index"].to_numpy().astype(np.int64)
    return parents


def _levels(parents: npt.NDArray[np.int64]) -> npt.NDArray[np.int64] | None:
    """Return each class's number of ancestors.

    None if a parent is out of range, or the parents form a cycle or a chain of over _MOST_LEVELS levels.
    """
    if len(parents) and not (parents.min() >= -1 and parents.max() < len(parents)):
        return None
    levels = np.zeros(len(parents), np.int64)
    above = parents
    for _ in range(_MOST_LEVELS):
        below = above >= 0
        if not below.any():
            return levels
        levels += below
        above = np.where(below, parents[above], -1)
    return None


def _path(parents: npt.NDArray[np.int64], index: int) -> list[int]:
    return list(_upwards(parents, index))[::-1]


def _upwards(parents: npt.NDArray[np.int64], index: int) -> Iterator[int]:
    while index >= 0:
        yield index
        index = int(parents[index])


def _class_list_digest(wnids: Sequence[str]) -> str:
    return hashlib.sha256("".join(f"{wnid}\n" for wnid in wnids).encode()).hexdigest()

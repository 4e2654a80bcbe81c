"""Differences between two hierarchies: classes, class order, and parents."""

from collections.abc import Sequence

import numpy as np

from in21k.tree.findings import Code, HierarchyFinding
from in21k.tree.hierarchy import ROOT, Hierarchy, Int64Array


def compare_class_order(ours: Sequence[str], theirs: Sequence[str]) -> list[HierarchyFinding]:
    """Return a finding for each class that only one of two lists has, or that has a different class index in each."""
    here, there = ({wnid: index for index, wnid in enumerate(wnids)} for wnids in (ours, theirs))
    findings = [
        HierarchyFinding(Code.ONLY_HERE, wnid, f"class {i} here, missing there")
        for wnid, i in here.items()
        if wnid not in there
    ]
    findings += [
        HierarchyFinding(Code.ONLY_THERE, wnid, f"class {i} there, missing here")
        for wnid, i in there.items()
        if wnid not in here
    ]
    findings += [
        HierarchyFinding(Code.ORDER_DIFFERS, wnid, f"class {i} here, {there[wnid]} there")
        for wnid, i in here.items()
        if there.get(wnid, i) != i
    ]
    return findings


def compare_hierarchies(ours: Hierarchy, theirs: Hierarchy) -> list[HierarchyFinding]:
    """Return the differences between two class lists, and between the parents of the classes that both have."""
    findings = compare_class_order(ours.wnids, theirs.wnids)
    here, there = _parents(ours), _parents(theirs)
    findings += [
        HierarchyFinding(Code.PARENT_DIFFERS, wnid, f"parent {parent or 'none'} here, {there[wnid] or 'none'} there")
        for wnid, parent in here.items()
        if wnid in there and there[wnid] != parent
    ]
    return findings


def moved_classes(before: Hierarchy, after: Hierarchy) -> tuple[Int64Array, Int64Array]:
    """Return two int64 [L]: how many classes at each level of `before` have another parent, or level, in `after`.

    Args:
        before: a hierarchy of L levels.
        after: a hierarchy of the same classes in the same order.
    """
    parent_moved, level_moved = before.parents != after.parents, before.levels != after.levels
    counts = [
        np.bincount(before.levels[moved], minlength=before.num_levels).astype(np.int64)
        for moved in (parent_moved, level_moved)
    ]
    return counts[0], counts[1]


def _parents(hierarchy: Hierarchy) -> dict[str, str | None]:
    return {
        wnid: None if parent == ROOT else hierarchy.wnids[parent]
        for wnid, parent in zip(hierarchy.wnids, hierarchy.parents.tolist(), strict=True)
    }

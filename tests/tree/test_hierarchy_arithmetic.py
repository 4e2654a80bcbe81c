"""Targets, multi-hot rows, common ancestors and distances, against a walk from each class."""

import numpy as np
import pytest
from forests import forests, hierarchy_of
from hypothesis import given

from in21k.tree.errors import TreeError
from in21k.tree.hierarchy import ROOT

hierarchies = forests(max_size=16).map(hierarchy_of)


@given(hierarchies)
def test_targets_are_positions_among_the_classes_of_each_level(hierarchy):
    assert hierarchy.targets.dtype == np.int64
    assert hierarchy.targets.shape == (len(hierarchy), hierarchy.num_levels)
    for index, row in enumerate(hierarchy.targets.tolist()):
        path = hierarchy.path(index)
        for level, target in enumerate(row):
            at_level = np.flatnonzero(hierarchy.levels == level).tolist()
            assert target == (at_level.index(path[level]) if level < len(path) else -1)


@given(hierarchies)
def test_multi_hot_rows_mark_exactly_the_path(hierarchy):
    hot = hierarchy.multi_hot(np.arange(len(hierarchy)))
    assert hot.dtype == np.bool_
    assert [tuple(np.flatnonzero(row)) for row in hot] == [
        tuple(sorted(hierarchy.path(index))) for index in range(len(hierarchy))
    ]


@given(hierarchies)
def test_common_ancestors_and_distances_of_all_pairs_equal_a_walk(hierarchy):
    size = len(hierarchy)
    every = np.arange(size)
    common = hierarchy.lowest_common_ancestor(every[:, None], every)
    distance = hierarchy.tree_distance(every[:, None], every)
    for first in range(size):
        for second in range(size):
            paths = hierarchy.path(first), hierarchy.path(second)
            shared = [a for a, b in zip(*paths, strict=False) if a == b]
            assert common[first, second] == (shared[-1] if shared else ROOT)
            edges = len(paths[0]) + len(paths[1]) - 2 * len(shared)
            assert distance[first, second] == (edges if shared else -1)


def test_single_indices_work_like_arrays():
    hierarchy = hierarchy_of([-1, 0, 0, -1])
    assert int(hierarchy.lowest_common_ancestor(1, 2)) == 0
    assert int(hierarchy.tree_distance(1, 3)) == -1
    assert hierarchy.multi_hot(2).tolist() == [True, False, True, False]


@pytest.mark.parametrize("wrong", [-1, 4, [0, 9]])
def test_a_class_index_out_of_range_is_rejected(wrong):
    hierarchy = hierarchy_of([-1, 0, 0, -1])
    for call in (hierarchy.multi_hot, lambda at: hierarchy.tree_distance(at, 0)):
        with pytest.raises(TreeError, match="0 to 3"):
            call(wrong)

import numpy as np
import pytest
from forests import forests, hierarchy_of
from hypothesis import given
from hypothesis import strategies as st

from in21k.tree.errors import TreeError
from in21k.tree.hierarchy import MAX_LEVEL_WEIGHT, ROOT, Hierarchy, build_hierarchy


def slow_path(parents, node):
    path = [node]
    while parents[path[0]] != ROOT:
        path.insert(0, parents[path[0]])
    return tuple(path)


@given(forests())
def test_levels_paths_ancestors_and_children_equal_a_walk_from_each_node(parents):
    hierarchy = hierarchy_of(parents)
    paths = [slow_path(parents, node) for node in range(len(parents))]
    depth = max(map(len, paths))
    assert hierarchy.levels.tolist() == [len(path) - 1 for path in paths]
    assert [hierarchy.path(node) for node in range(len(parents))] == paths
    assert hierarchy.ancestors.tolist() == [[*path, *[-1] * (depth - len(path))] for path in paths]
    assert hierarchy.children == tuple(
        tuple(child for child, parent in enumerate(parents) if parent == node) for node in range(len(parents))
    )


@given(forests())
def test_level_sizes_activity_and_weights_equal_the_formula(parents):
    hierarchy = hierarchy_of(parents)
    levels = [len(slow_path(parents, node)) - 1 for node in range(len(parents))]
    sizes = [levels.count(k) for k in range(max(levels) + 1)]
    assert hierarchy.num_levels == len(sizes)
    assert hierarchy.level_sizes.tolist() == sizes
    assert hierarchy.active.tolist() == [size > 1 for size in sizes]
    expected = [min(MAX_LEVEL_WEIGHT, sum(sizes) / sum(sizes[k:])) for k in range(len(sizes))]
    assert hierarchy.level_weights.tolist() == pytest.approx(expected, rel=1e-12)


@given(forests(), st.integers(0, 1 << 30))
def test_subtree_sums_equal_a_sum_over_all_that_have_the_node_on_their_path(parents, seed):
    values = np.random.default_rng(seed).integers(0, 1 << 40, len(parents))
    before = values.copy()
    sums = hierarchy_of(parents).subtree_sums(values)
    paths = [slow_path(parents, node) for node in range(len(parents))]
    expected = [
        sum(int(v) for v, path in zip(values, paths, strict=True) if node in path) for node in range(len(parents))
    ]
    assert sums.tolist() == expected
    assert values.tolist() == before.tolist()


@given(st.lists(st.integers(-1, 7), min_size=1, max_size=8))
def test_levels_exist_if_and_only_if_every_class_reaches_a_root(parents):
    parents = [min(parent, len(parents) - 1) for parent in parents]

    def reaches_root(node):
        for _ in parents:
            node = parents[node] if node != ROOT else ROOT
        return node == ROOT

    hierarchy = hierarchy_of(parents)
    if all(map(reaches_root, range(len(parents)))):
        assert len(hierarchy.levels) == len(parents)
    else:
        with pytest.raises(TreeError, match="cycle"):
            _ = hierarchy.levels


@pytest.mark.parametrize("parents", [[0], [1, 0], [-1, 2, 3, 1]])
def test_a_cycle_is_rejected_and_one_of_its_classes_named(parents):
    with pytest.raises(TreeError, match=r"class\d form a cycle"):
        _ = hierarchy_of(parents).levels


@pytest.mark.parametrize("parents", [[-1, 2], [-2, -1], [-1, 1 << 20]])
def test_parent_indices_out_of_range_are_rejected(parents):
    with pytest.raises(TreeError, match="-1 to 1"):
        hierarchy_of(parents)


def test_parents_of_the_wrong_length_are_rejected():
    with pytest.raises(TreeError, match="2 classes"):
        Hierarchy(("a", "b"), np.array([-1], np.int32))


def test_a_class_listed_twice_is_rejected_by_name():
    with pytest.raises(TreeError, match="'b' is listed twice"):
        Hierarchy(("a", "b", "c", "b"), np.full(4, ROOT, np.int32))


@given(forests(), st.data())
def test_parent_is_the_nearest_listed_ancestor(parents, data):
    names = [f"n{i}" for i in range(len(parents))]
    listed = data.draw(st.lists(st.sampled_from(names), min_size=1, unique=True))
    built = build_hierarchy(listed, lambda name: None if (p := parents[int(name[1:])]) == ROOT else names[p])
    for name, parent in zip(listed, built.parents.tolist(), strict=True):
        above = [names[node] for node in slow_path(parents, int(name[1:]))[:-1] if names[node] in listed]
        assert (None if parent == ROOT else listed[parent]) == (above[-1] if above else None)


def test_the_builder_rejects_a_cycle_of_listed_classes():
    cycle = {"a": "x", "x": "b", "b": "a"}
    with pytest.raises(TreeError, match="cycle"):
        build_hierarchy(["a", "b"], cycle.get)


def test_the_builder_terminates_on_a_cycle_of_unlisted_synsets():
    cycle = {"a": "x", "x": "y", "y": "x"}
    assert build_hierarchy(["a"], cycle.get).parents.tolist() == [ROOT]


def test_a_class_unknown_to_the_parent_function_is_rejected():
    from in21k.tree.parents import primary_parents

    with pytest.raises(TreeError, match="'n00000000' is not a noun synset"):
        build_hierarchy(["n02084071", "n00000000"], primary_parents())

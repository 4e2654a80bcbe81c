"""Probabilities over the hierarchy and the best path, against slow versions on random trees."""

import numpy as np
import pytest
import torch
from hierarchies import batch_of, hierarchies, published_hierarchy
from hypothesis import given
from hypothesis import strategies as st
from slow_answers import children, slow_path, slow_probabilities

from in21k.train.answers.distribution import TreeDistribution
from in21k.train.answers.paths import PathFinder
from in21k.train.losses.schemes import MULTI_LABEL, SCHEMES, SINGLE_LABEL
from in21k.train.model.level_order import level_order
from in21k.train.model.level_tree import LevelTree, class_heights
from in21k.tree.hierarchy import ROOT, Hierarchy

KINDS = ["semantic-softmax", "single-label", "multi-label"]
SEEDS = st.integers(0, 2**31)


def in_rows(hierarchy, logits):
    return level_order(hierarchy).to_rows(logits, dim=1)


@pytest.mark.parametrize("scheme", KINDS)
@given(hierarchies(), st.integers(1, 4), SEEDS)
def test_probabilities_equal_the_slow_version(scheme, hierarchy, size, seed):
    logits = batch_of(hierarchy, size, seed)[0]
    order = level_order(hierarchy)
    found = TreeDistribution(order, scheme)(in_rows(hierarchy, logits)).subtree.exp()
    expected = [slow_probabilities(hierarchy, row, scheme) for row in logits.tolist()]
    torch.testing.assert_close(order.to_classes(found, dim=1), torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize("scheme", sorted(SCHEMES))
@given(hierarchies(), SEEDS)
def test_children_share_their_parents_probability(scheme, hierarchy, seed):
    order = level_order(hierarchy)
    found = TreeDistribution(order, scheme)(in_rows(hierarchy, batch_of(hierarchy, 2, seed)[0]))
    shares = order.to_classes(found.subtree.exp(), dim=1)
    own = torch.zeros_like(shares) if found.own is None else order.to_classes(found.own.exp(), dim=1)
    for parent in [ROOT, *range(len(hierarchy))]:
        below = children(hierarchy, parent)
        above = torch.ones(2, dtype=torch.float64) if parent == ROOT else shares[:, parent]
        if scheme in MULTI_LABEL:
            assert (shares[:, below] <= above[:, None]).all()
        elif below:
            rest = own[:, parent] if parent != ROOT else 0
            torch.testing.assert_close(shares[:, below].sum(1) + rest, above)


@pytest.mark.parametrize("scheme", KINDS)
@given(hierarchies(), st.integers(1, 4), SEEDS)
def test_the_path_equals_the_slow_version(scheme, hierarchy, size, seed):
    order = level_order(hierarchy)
    logits = batch_of(hierarchy, size, seed)[0]
    paths = PathFinder(order, scheme)(in_rows(hierarchy, logits))
    for image, row in enumerate(logits.tolist()):
        classes = [int(order.class_of_row[each]) for each in paths.rows[image].tolist() if each >= 0]
        assert classes == slow_path(hierarchy, row, scheme)
        shares = slow_probabilities(hierarchy, row, scheme)
        expected = [shares[each] for each in classes] + [0.0] * (hierarchy.num_levels - len(classes))
        assert paths.probabilities[image].tolist() == pytest.approx(expected)


@pytest.mark.parametrize("scheme", sorted(SCHEMES))
@given(hierarchies(), SEEDS, st.sampled_from([0.1, 4.0, 1e4]))
def test_a_path_is_consistent_and_never_more_probable_further_down(scheme, hierarchy, seed, scale):
    order = level_order(hierarchy)
    logits = batch_of(hierarchy, 8, seed, torch.float32, scale)[0]
    paths = PathFinder(order, scheme)(logits)
    assert paths.probabilities.isfinite().all()
    assert (paths.probabilities.diff(dim=1) <= 0).all()
    assert (paths.probabilities <= 1).all()
    for rows in paths.rows.tolist():
        found = [int(order.class_of_row[row]) for row in rows if row >= 0]
        assert found
        assert found == list(hierarchy.path(found[-1]))
        if scheme not in SINGLE_LABEL:
            assert not hierarchy.children[found[-1]]


@given(hierarchies(), SEEDS)
def test_the_answer_is_the_deepest_class_that_is_probable_enough(hierarchy, seed):
    """From one half on there is one such class at a level at most, whatever path it is looked for on."""
    order = level_order(hierarchy)
    logits = batch_of(hierarchy, 4, seed)[0]
    paths = PathFinder(order, "semantic-softmax")(in_rows(hierarchy, logits))
    for confidence in (0.5000001, 0.7, 1.0):
        for image, (row, depth) in enumerate(zip(logits.tolist(), paths.answered(confidence).tolist(), strict=True)):
            shares = slow_probabilities(hierarchy, row, "semantic-softmax")
            sure = [index for index, share in enumerate(shares) if share >= confidence + 1e-9]
            unsure = [index for index, share in enumerate(shares) if share >= confidence - 1e-9]
            found = {int(order.class_of_row[each]) for each in paths.rows[image, :depth].tolist()}
            assert set(sure) <= found <= set(unsure)


@given(hierarchies(), SEEDS)
def test_values_spread_from_the_lowest_common_ancestor(hierarchy, seed):
    order = level_order(hierarchy)
    labels = batch_of(hierarchy, 3, seed)[1]
    values = torch.arange(3.0 * (hierarchy.num_levels + 1)).reshape(3, -1)
    found = order.to_classes(LevelTree(order).spread(values, labels), dim=1)
    for image, label in enumerate(labels.tolist()):
        common = hierarchy.lowest_common_ancestor([label], range(len(hierarchy))).tolist()
        depths = [0 if each == ROOT else 1 + int(hierarchy.levels[each]) for each in common]
        assert found[image].tolist() == [values[image, depth].item() for depth in depths]


@given(hierarchies())
def test_heights_are_of_the_longest_way_down(hierarchy):
    def height(index):
        return max((1 + height(below) for below in children(hierarchy, index)), default=0)

    roots = children(hierarchy, ROOT)
    expected = [height(index) for index in range(len(hierarchy))]
    top = height(ROOT) if len(roots) > 1 else expected[roots[0]]
    assert class_heights(level_order(hierarchy)).tolist() == [*expected, top]


@pytest.mark.parametrize("scheme", KINDS)
def test_nothing_waits_for_the_device(scheme):
    """Tensors of the meta device have no values, so whatever needs one on the host fails there."""
    hierarchy = published_hierarchy()
    finder = PathFinder(level_order(hierarchy), scheme).to("meta")
    paths = finder(torch.empty(4, len(hierarchy), device="meta"))
    assert paths.answered(0.5).shape == (4,)


def test_level_by_level_the_most_probable_classes_need_not_be_a_path():
    """The case of the issue: a fish at level 1 stood beside a parrot at level 2."""
    names = ("animal", "fish", "bird", "shark", "parrot")
    hierarchy = Hierarchy(names, np.array([-1, 0, 0, 1, 2], np.int32))
    logits = torch.tensor([[0.0, 1.0, 0.5, 0.0, 3.0]])
    paths = PathFinder(level_order(hierarchy), "semantic-softmax")(logits)
    assert [names[row] for row in paths.rows[0].tolist()] == ["animal", "fish", "shark"]

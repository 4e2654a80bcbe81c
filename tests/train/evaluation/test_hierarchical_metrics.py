"""Hierarchical precision, recall and F1, consistent paths, and distances of the best, against slow versions."""

import numpy as np
import pytest
import torch
from hierarchies import batch_of, hierarchies
from hypothesis import given
from hypothesis import strategies as st
from slow_answers import children, slow_path, slow_probabilities, subtree

from in21k.train.evaluation.best_distance import KS, BestDistanceCounter
from in21k.train.evaluation.hierarchical import HierarchicalCounter
from in21k.train.model.level_order import level_order
from in21k.tree.hierarchy import ROOT, Hierarchy

CPU = torch.device("cpu")
BATCHES = (hierarchies(), st.integers(1, 12), st.integers(0, 2**31))


def counted(counter, hierarchy, batch):
    """Count a batch in two parts, its logits put into level order."""
    logits, labels, valid = batch
    logits = level_order(hierarchy).to_rows(logits, dim=1)
    for part in (slice(0, len(labels) // 2), slice(len(labels) // 2, None)):
        counter.update(logits[part], labels[part], valid[part])
    return counter.counts.tolist()


@pytest.mark.parametrize("scheme", ["semantic-softmax", "single-label", "multi-label"])
@given(*BATCHES)
def test_hierarchical_f1_equals_the_slow_version(scheme, hierarchy, size, seed):
    batch = batch_of(hierarchy, size, seed)
    both = answered = shown = images = 0
    for logits, label, is_valid in zip(*(part.tolist() for part in batch), strict=True):
        shares = slow_probabilities(hierarchy, logits, scheme)
        answer = {node for node in slow_path(hierarchy, logits, scheme) if shares[node] >= 0.5}
        own = set(hierarchy.path(label))
        if is_valid:
            both, answered, shown = both + len(answer & own), answered + len(answer), shown + len(own)
            images += 1
    counter = HierarchicalCounter(level_order(hierarchy), scheme, CPU)
    assert counted(counter, hierarchy, batch)[:3] == [both, answered, shown]
    found = counter.result()
    precision, recall = found["hierarchical_precision"], found["hierarchical_recall"]
    assert precision == (both / answered if answered else None)
    assert recall == (both / shown if images else 0)
    harmonic = 2 * precision * recall / (precision + recall) if precision and recall else 0
    assert found["hierarchical_f1"] == pytest.approx(harmonic)


def are_a_path(hierarchy, logits):
    """Whether the classes with the highest logit of each level are below each other, down to one without children."""
    above = ROOT
    for level in range(hierarchy.num_levels):
        rivals = [index for index in range(len(hierarchy)) if hierarchy.levels[index] == level]
        best = max(rivals, key=lambda index: logits[index])
        if hierarchy.parents[best] != above:
            return False
        if not children(hierarchy, best):
            return True
        above = best
    return True


@given(*BATCHES)
def test_consistent_paths_equal_the_slow_version(hierarchy, size, seed):
    batch = batch_of(hierarchy, size, seed)
    rows = zip(batch[0].tolist(), batch[2].tolist(), strict=True)
    expected = sum(is_valid and are_a_path(hierarchy, logits) for logits, is_valid in rows)
    counter = HierarchicalCounter(level_order(hierarchy), "semantic-softmax", CPU)
    assert counted(counter, hierarchy, batch)[3:] == [expected, int(batch[2].sum())]


def slow_distance(hierarchy, first, second):
    """The height of the lowest common ancestor of two different classes, or of the node above all roots."""

    def height(index):
        depth = hierarchy.levels[index] if index != ROOT else -1
        below = subtree(hierarchy, index) if index != ROOT else range(len(hierarchy))
        return max(int(hierarchy.levels[each] - depth) for each in below)

    common = [each for each in hierarchy.path(first) if each in hierarchy.path(second)]
    return 0 if first == second else height(common[-1] if common else ROOT)


@given(*BATCHES)
def test_the_distance_of_the_best_equals_the_slow_version(hierarchy, size, seed):
    batch = batch_of(hierarchy, size, seed)
    sums, counts = dict.fromkeys(KS, 0), dict.fromkeys(KS, 0)
    for logits, label, is_valid in zip(*(part.tolist() for part in batch), strict=True):
        rivals = [index for index in range(len(hierarchy)) if hierarchy.levels[index] == hierarchy.levels[label]]
        ranked = sorted(rivals, key=lambda index: -logits[index])
        for k in KS if is_valid else ():
            sums[k] += sum(slow_distance(hierarchy, label, index) for index in ranked[:k])
            counts[k] += len(ranked[:k])
    counter = BestDistanceCounter(level_order(hierarchy), CPU)
    assert counted(counter, hierarchy, batch) == [list(sums.values()), list(counts.values())]
    expected = {f"top{k}_distance": sums[k] / counts[k] if counts[k] else None for k in KS}
    assert counter.result() == expected


def test_nothing_in_the_counters_waits_for_the_device():
    meta = torch.device("meta")
    hierarchy = Hierarchy(("a", "b", "c"), np.array([-1, 0, 0], np.int32))
    order = level_order(hierarchy)
    batch = [torch.empty(4, 3, device=meta), torch.empty(4, dtype=torch.int64, device=meta)]
    for counter in (HierarchicalCounter(order, "semantic-softmax", meta), BestDistanceCounter(order, meta)):
        counter.update(*batch, torch.empty(4, dtype=torch.bool, device=meta))

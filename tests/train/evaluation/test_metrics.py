"""Each metric against a slow version, and independent of batches and ranks."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hierarchies import batch_of, hierarchies
from hypothesis import given
from hypothesis import strategies as st

from in21k.train.data.interfaces import ABSENT
from in21k.train.device.ranks import Ranks
from in21k.train.evaluation.average_precision import AveragePrecision, mean_precision
from in21k.train.evaluation.class_accuracy import ClassCounter
from in21k.train.evaluation.mistakes import MistakeCounter
from in21k.train.evaluation.scheme_metrics import SchemeMetrics
from in21k.train.evaluation.top_k import TopKCounter
from in21k.train.losses.multi_label import absent_rows, label_rows
from in21k.train.model.level_order import flat_order, level_order
from in21k.tree.hierarchy import Hierarchy

CPU = torch.device("cpu")
OF_TREE = {
    "mistake_distance",
    "hierarchical_precision",
    "hierarchical_recall",
    "hierarchical_f1",
    "consistent_paths",
    "top1_distance",
    "top5_distance",
    "top20_distance",
}


def scored(hierarchy, size, seed, shades=None):
    """A batch with logits in level order; few distinct scores make ties."""
    logits, labels, valid = batch_of(hierarchy, size, seed, torch.float32)
    if shades:
        logits = (logits * shades).round() / shades
    return logits[:, torch.from_numpy(level_order(hierarchy).class_of_row)], labels, valid


@given(hierarchies(), st.integers(1, 20), st.integers(0, 2**31))
def test_top_k_equals_a_sort(hierarchy, size, seed):
    order = level_order(hierarchy)
    logits, labels, valid = scored(hierarchy, size, seed, shades=1)
    counter = TopKCounter(order, CPU)
    for part in (slice(0, size // 2), slice(size // 2, size)):
        counter.update(logits[part], labels[part], valid[part])
    hits = {1: 0, 5: 0}
    for row, label, is_valid in zip(logits.tolist(), labels.tolist(), valid.tolist(), strict=True):
        best = sorted(range(len(row)), key=lambda at: (-row[at], at))
        for k in hits:
            hits[k] += is_valid and order.row_of_class[label] in best[:k]
    assert counter.counts.tolist() == [hits[1], hits[5], int(valid.sum())]
    images = max(int(valid.sum()), 1)
    assert counter.result() == {"top1": hits[1] / images, "top5": hits[5] / images}


@given(hierarchies(), st.integers(1, 20), st.integers(0, 2**31))
def test_mistake_distance_is_the_hierarchys(hierarchy, size, seed):
    order = level_order(hierarchy)
    logits, labels, valid = scored(hierarchy, size, seed)
    counter = MistakeCounter(hierarchy, order, CPU)
    counter.update(logits, labels, valid)
    edges = mistakes = 0
    for row, label, is_valid in zip(logits.tolist(), labels.tolist(), valid.tolist(), strict=True):
        rivals = np.flatnonzero(hierarchy.levels == hierarchy.levels[label])
        guess = max(rivals.tolist(), key=lambda rival: row[order.row_of_class[rival]])
        if is_valid and guess != label:
            known = int(hierarchy.tree_distance([label], [guess])[0])
            over_the_top = 2 * (int(hierarchy.levels[label]) + 1)  # through the node above all roots
            edges, mistakes = edges + (over_the_top if known < 0 else known), mistakes + 1
    assert counter.counts.tolist() == [edges, mistakes]
    assert counter.result() == {"mistake_distance": edges / mistakes if mistakes else None}


def slow_map(logits, sets: list[set[int]], valid) -> float:
    """Mean over classes with a label of the average precision by its definition."""
    found = []
    for index in range(logits.shape[1]):
        images = [at for at in range(len(sets)) if valid[at]]
        labels = [at for at in images if index in sets[at]]
        if not labels:
            continue
        precisions = []
        for at in labels:
            above = [other for other in images if logits[other, index] >= logits[at, index]]
            precisions.append(sum(other in labels for other in above) / len(above))
        found.append(sum(precisions) / len(precisions))
    return float(np.mean(found)) if found else 0.0


def precisions(logits, labels, valid, hierarchy, parts, micro=False):
    order = level_order(hierarchy)
    table = label_rows(order, hierarchy.ancestors.astype(np.int64))
    precision = AveragePrecision(table, len(hierarchy), Ranks(CPU), micro=micro)
    for part in parts:
        precision.collect(logits[part], labels[part], valid[part])
    precision.seal()
    for part in reversed(parts):
        precision.count(logits[part], labels[part], valid[part])
    return precision.by_class()


def fast_map(*given):
    return mean_precision(precisions(*given))


@given(hierarchies(), st.integers(1, 30), st.integers(0, 2**31), st.sampled_from([1, 1000]))
def test_mean_average_precision_equals_the_slow_version(hierarchy, size, seed, shades):
    logits, labels, valid = scored(hierarchy, size, seed, shades)
    order = level_order(hierarchy)
    sets = [{int(order.row_of_class[index]) for index in hierarchy.path(label)} for label in labels.tolist()]
    expected = slow_map(logits, sets, valid.tolist())
    half = size // 2
    whole = fast_map(logits, labels, valid, hierarchy, [slice(0, size)])
    assert whole == pytest.approx(expected, rel=1e-12)
    assert fast_map(logits, labels, valid, hierarchy, [slice(0, half), slice(half, size)]) == whole
    # of all pairs at once, as of one class whose images are the pairs
    pairs = [{0} if row in found else set() for found in sets for row in range(len(hierarchy))]
    of_pairs = slow_map(logits.reshape(-1, 1), pairs, np.repeat(valid.numpy(), len(hierarchy)).tolist())
    micro = precisions(logits, labels, valid, hierarchy, [slice(0, half), slice(half, size)], micro=True)
    assert mean_precision(micro) == pytest.approx(of_pairs, rel=1e-12)


@given(hierarchies(), st.integers(1, 20), st.integers(0, 2**31), st.booleans())
def test_accuracy_by_class_equals_a_slow_count(hierarchy, size, seed, by_level):
    order = level_order(hierarchy)
    logits, labels, valid = scored(hierarchy, size, seed)
    counter = ClassCounter(order, CPU, by_level=by_level)
    for part in (slice(0, size // 2), slice(size // 2, size)):
        counter.update(logits[part], labels[part], valid[part])
    hits, images = [0] * len(hierarchy), [0] * len(hierarchy)
    for row, label, is_valid in zip(logits.tolist(), labels.tolist(), valid.tolist(), strict=True):
        rivals = [at for at in range(len(row)) if not by_level or hierarchy.levels[at] == hierarchy.levels[label]]
        images[label] += is_valid
        hits[label] += is_valid and max(rivals, key=lambda rival: row[order.row_of_class[rival]]) == label
    found = counter.result().tolist()
    assert [None if value != value else value for value in found] == [
        hit / count if count else None for hit, count in zip(hits, images, strict=True)
    ]


def test_a_multi_label_scheme_counts_average_precision_in_two_passes():
    hierarchy = Hierarchy(("a", "b", "c"), np.array([-1, 0, 0], np.int32))
    data = SimpleNamespace(hierarchy=hierarchy, label_sets=hierarchy.ancestors.astype(np.int64), is_single_label=True)
    logits, labels, valid = scored(hierarchy, 20, 0)
    metrics = SchemeMetrics(data, level_order(hierarchy), "multi-label", Ranks(CPU))
    assert metrics.wants_second_pass
    metrics.update(logits, labels, valid)
    metrics.seal()
    metrics.count_again(logits, labels, valid)
    semantic, found, by_class = metrics.result()
    assert found.keys() == {"map", *OF_TREE}
    assert found["map"] == fast_map(logits, labels, valid, hierarchy, [slice(0, 20)])
    assert semantic is not None
    assert (by_class.name, len(by_class.values)) == ("average_precision", 3)
    single = SchemeMetrics(data, level_order(hierarchy), "single-label", Ranks(CPU))
    assert not single.wants_second_pass
    single.update(logits, labels, valid)
    assert single.result()[1].keys() == {"top1", "top5", *OF_TREE}


def test_scores_of_either_sign_sort_and_both_zeros_are_equal():
    flat = Hierarchy(("a", "b"), np.full(2, -1, np.int32))
    logits = torch.tensor([[-0.0, 3.0], [0.0, -1e30], [-2.5, 1e-40], [-1e-38, 1e30]])
    labels, valid = torch.tensor([0, 1, 0, 1]), torch.ones(4, dtype=torch.bool)
    # a: labels score 0 (beside another 0) and -2.5 (last of four); b: labels score -1e30 (last) and 1e30 (first)
    expected = ((1 / 2 + 2 / 4) / 2 + (1 / 1 + 2 / 4) / 2) / 2
    assert fast_map(logits, labels, valid, flat, [slice(0, 4)]) == pytest.approx(expected)


def test_nothing_in_the_counters_waits_for_the_device():
    """Tensors of the meta device have no values, so whatever needs one on the host fails there."""
    meta = torch.device("meta")
    hierarchy = Hierarchy(("a", "b", "c"), np.array([-1, 0, 0], np.int32))
    order = level_order(hierarchy)
    batch = [torch.empty(4, 3, device=meta), torch.empty(4, dtype=torch.int64, device=meta)]
    batch.append(torch.empty(4, dtype=torch.bool, device=meta))
    TopKCounter(order, meta).update(*batch)
    MistakeCounter(hierarchy, order, meta).update(*batch)
    AveragePrecision(label_rows(order, hierarchy.ancestors.astype(np.int64)).to(meta), 3, Ranks(meta)).collect(*batch)


@given(st.integers(1, 12), st.integers(1, 5), st.integers(0, 2**31), st.booleans())
def test_average_precision_of_what_is_known_equals_the_slow_version(size, classes, seed, micro):
    random = np.random.default_rng(seed)
    state = random.integers(-1, 2, (size, classes))  # unknown, absent, present
    logits, valid = torch.from_numpy(random.integers(-3, 4, (size, classes))).float(), random.random(size) < 0.8
    label_sets = np.where(state == 1, np.arange(classes), np.where(state == 0, ABSENT - np.arange(classes), -1))
    order = flat_order(classes)
    absent = absent_rows(order, label_sets)
    table = label_rows(order, label_sets)
    assert (absent is None) == (not (state == 0).any())
    absent = torch.full_like(table, -1) if absent is None else absent
    precision = AveragePrecision(table, classes, Ranks(CPU), absent=absent, micro=micro)
    batch = logits, torch.arange(size), torch.from_numpy(valid)
    precision.collect(*batch)
    precision.seal()
    precision.count(*batch)
    columns = [state.ravel()] if micro else list(state.T)
    scores = [logits.numpy().ravel()] if micro else list(logits.numpy().T)
    seen = np.repeat(valid, classes) if micro else valid
    expected = []
    for column, values in zip(columns, scores, strict=True):
        known = (column >= 0) & seen
        pairs = list(zip(values[known].tolist(), (column[known] == 1).tolist(), strict=True))
        above = [[hit for other, hit in pairs if other >= score] for score, own in pairs if own]
        expected.append(np.mean([sum(hits) / len(hits) for hits in above]) if above else np.nan)
    np.testing.assert_allclose(precision.by_class().numpy(), expected, rtol=1e-12)

"""Semantic softmax and semantic top-1 against slow versions, on random trees and the real one; they never wait."""

from dataclasses import fields

import numpy as np
import pytest
import torch
from hierarchies import batch_of, hierarchies, published_hierarchy
from hypothesis import given, settings
from hypothesis import strategies as st
from slow_semantic_softmax import slow_hits, slow_loss, smoothed_minimum

from in21k.train.config.settings import LossConfig
from in21k.train.errors import TrainError
from in21k.train.evaluation.semantic_top1 import SemanticCounter, SemanticTop1, majority_guess
from in21k.train.losses.schemes import build_loss
from in21k.train.losses.semantic_softmax import SemanticSoftmaxLoss
from in21k.train.model.level_order import LevelOrder, flat_order, level_order
from in21k.tree.hierarchy import Hierarchy


def fast_and_slow(hierarchy, size, seed, smoothing, dtype=torch.float64):
    logits, labels, valid = batch_of(hierarchy, size, seed, dtype)
    order = level_order(hierarchy)
    fast_logits = logits.clone().requires_grad_()
    rows = torch.from_numpy(order.class_of_row)
    fast = SemanticSoftmaxLoss(order, smoothing)(fast_logits[:, rows], labels, valid)
    slow_logits = logits.double().requires_grad_()
    slow = slow_loss(slow_logits, labels.tolist(), valid.tolist(), hierarchy, smoothing)
    fast.backward()
    if slow.requires_grad:
        slow.backward()
    gradient = torch.zeros_like(slow_logits) if slow_logits.grad is None else slow_logits.grad
    return fast, slow, fast_logits.grad, gradient


@given(hierarchies(), st.integers(1, 7), st.integers(0, 2**31), st.sampled_from([0.0, 0.2, 1.0]))
def test_it_equals_the_slow_version(hierarchy, size, seed, smoothing):
    fast, slow, gradient, slow_gradient = fast_and_slow(hierarchy, size, seed, smoothing)
    torch.testing.assert_close(fast, slow, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(gradient, slow_gradient, rtol=1e-10, atol=1e-12)


@given(hierarchies(), st.integers(1, 7), st.integers(0, 2**31))
def test_float32_is_close_to_the_slow_version(hierarchy, size, seed):
    fast, slow, gradient, slow_gradient = fast_and_slow(hierarchy, size, seed, 0.2, torch.float32)
    assert fast.dtype == torch.float32
    torch.testing.assert_close(fast.double(), slow, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(gradient.double(), slow_gradient, rtol=1e-5, atol=1e-5)


@given(hierarchies(), st.integers(0, 2**31))
def test_bfloat16_logits_are_reduced_in_float32(hierarchy, seed):
    fast, slow, gradient, slow_gradient = fast_and_slow(hierarchy, 6, seed, 0.2, torch.bfloat16)
    assert fast.dtype == torch.float32
    assert gradient.dtype == torch.bfloat16
    torch.testing.assert_close(fast.double(), slow, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(gradient.double(), slow_gradient, rtol=1e-2, atol=1e-3)


@settings(max_examples=15)
@given(hierarchies(), st.integers(0, 2**31))
def test_its_gradient_passes_gradcheck(hierarchy, seed):
    logits, labels, valid = batch_of(hierarchy, 3, seed)
    loss = SemanticSoftmaxLoss(level_order(hierarchy), 0.2)
    assert torch.autograd.gradcheck(lambda rows: loss(rows, labels, valid), logits.requires_grad_())


@pytest.fixture(scope="module")
def published():
    return published_hierarchy()


def test_it_equals_the_slow_version_on_the_real_tree(published):
    assert len(published) == 11221
    fast, slow, gradient, slow_gradient = fast_and_slow(published, 3, 1, 0.2, torch.float32)
    torch.testing.assert_close(fast.double(), slow, rtol=1e-5, atol=0)
    torch.testing.assert_close(gradient.double(), slow_gradient, rtol=1e-5, atol=1e-8)


def test_huge_logits_stay_finite(published):
    logits = torch.full((2, len(published)), -1e4).requires_grad_()
    with torch.no_grad():
        logits[:, ::7] = 1e4
    loss = SemanticSoftmaxLoss(level_order(published), 0.2)(
        logits, torch.tensor([3, 11000]), torch.tensor([True, True])
    )
    loss.backward()
    assert loss.isfinite()
    assert logits.grad.isfinite().all()


def test_a_perfect_model_reaches_the_entropy_of_the_smoothed_target():
    hierarchy = Hierarchy(("a", "b", "c"), np.full(3, -1, np.int32))
    logits = torch.log(torch.tensor([[0.8 + 0.2 / 3, 0.2 / 3, 0.2 / 3]]))
    loss = SemanticSoftmaxLoss(level_order(hierarchy), 0.2)(logits, torch.tensor([0]), torch.tensor([True]))
    assert loss.item() == pytest.approx(smoothed_minimum(3, 0.2), rel=1e-6)


def test_nothing_in_loss_and_metric_waits_for_the_device(published):
    """Tensors of the meta device have no values, so whatever needs one on the host fails there."""
    order = level_order(published)
    loss = SemanticSoftmaxLoss(order, 0.2).to("meta")
    logits = torch.empty(4, len(published), device="meta", requires_grad=True)
    labels, valid = torch.empty(4, dtype=torch.int64, device="meta"), torch.empty(4, dtype=torch.bool, device="meta")
    loss(logits, labels, valid).backward()
    assert logits.grad.shape == logits.shape
    SemanticCounter(order, torch.device("meta")).update(logits, labels, valid)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_nothing_in_the_loss_waits_for_the_gpu(published):
    order = level_order(published)
    loss, counter = SemanticSoftmaxLoss(order, 0.2).cuda(), SemanticCounter(order, torch.device("cuda"))
    logits, labels, valid = (tensor.cuda() for tensor in batch_of(published, 8, 0, torch.bfloat16))
    logits.requires_grad_()
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        loss(logits, labels, valid).backward()
        counter.update(logits, labels, valid)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert logits.grad.isfinite().all()


@given(hierarchies(), st.integers(1, 20), st.integers(0, 2**31))
def test_the_metric_equals_the_slow_version(hierarchy, size, seed):
    logits, labels, valid = batch_of(hierarchy, size, seed)
    order = level_order(hierarchy)
    counter = SemanticCounter(order, torch.device("cpu"))
    if not order.active:
        return
    rows = torch.from_numpy(order.class_of_row)
    counter.update(logits[: size // 2, rows], labels[: size // 2], valid[: size // 2])
    counter.update(logits[size // 2 :, rows], labels[size // 2 :], valid[size // 2 :])
    expected = slow_hits(logits, labels.tolist(), valid.tolist(), hierarchy)
    assert counter.result().levels == expected
    pairs = sum(count for _, count in expected.values())
    assert counter.result().micro == (sum(hits for hits, _ in expected.values()) / pairs if pairs else 0)


def test_without_pairs_the_metric_is_zero():
    assert SemanticTop1({0: (0, 0), 1: (3, 4)}).level(0) == 0
    assert SemanticTop1({0: (0, 0)}).micro == 0


def test_the_majority_guess_is_the_most_frequent_class_of_each_level():
    hierarchy = Hierarchy(("a", "b", "c", "d", "e"), np.array([-1, -1, 0, 0, 1], np.int32))
    train, val = np.array([0, 5, 1, 9, 0]), np.array([1, 2, 3, 4, 5])
    guess = majority_guess(hierarchy, train, val)
    assert guess.levels == {0: (1 + 3 + 4, 15), 1: (4, 12)}
    assert guess.micro == 12 / 27


@given(hierarchies())
def test_level_order_and_class_order_are_inverse(hierarchy):
    order = level_order(hierarchy)
    by_class = torch.arange(len(hierarchy))
    assert torch.equal(order.to_classes(order.to_rows(by_class)), by_class)
    levels = hierarchy.levels[order.class_of_row].tolist()
    assert levels == sorted(levels)
    assert np.array_equal(order.ancestors, hierarchy.ancestors)
    columns = torch.stack([by_class, -by_class])
    assert torch.equal(order.to_rows(columns, dim=1), columns[:, torch.from_numpy(order.class_of_row)])
    assert torch.equal(order.to_classes(order.to_rows(columns, dim=1), dim=1), columns)


def test_the_order_of_a_plain_class_list_is_that_of_its_hierarchy():
    flat = level_order(Hierarchy(tuple("abc"), np.full(3, -1, np.int32)))
    for field in fields(LevelOrder):
        assert np.array_equal(getattr(flat_order(3), field.name), getattr(flat, field.name)), field.name
    assert flat_order(1).active == ()


def test_an_unknown_scheme_and_a_hierarchy_without_choices_are_refused():
    chain = Hierarchy(("a", "b"), np.array([-1, 0], np.int32))
    order = level_order(chain)
    with pytest.raises(TrainError, match="no level of the hierarchy has two classes"):
        build_loss(LossConfig(), order)
    with pytest.raises(TrainError, match=r"no loss 'triplet'; loss.scheme is one of: single-label, multi-label, sem"):
        build_loss(LossConfig("triplet"), order)

"""The losses of mixtures: those of their mixed targets, in every scheme; and nothing new where nothing is mixed."""

import numpy as np
import pytest
import torch
from hierarchies import batch_of, hierarchies
from hypothesis import given, settings
from hypothesis import strategies as st
from slow_losses import active_levels, slow_class_distillation, slow_distillation
from slow_mixtures import slow_mixtures

from in21k.train.config.settings import DistillConfig, LossConfig
from in21k.train.losses import row_loss
from in21k.train.losses.row_loss import MixedLabels
from in21k.train.losses.schemes import DISTILLING, MULTI_LABEL, SCHEMES, build_loss
from in21k.train.model.level_order import level_order
from in21k.tree.hierarchy import Hierarchy

ALL = sorted(SCHEMES)
TREE = Hierarchy(
    tuple(f"n{index:08d}" for index in range(60)), np.array([-1] * 4 + [at // 4 for at in range(56)], np.int32)
)
DISTILL = DistillConfig(weight=2.0, hard_weight=0.5, divergence="kl", temperature=2.0)


def mixed_batch(hierarchy, size, seed, dtype=torch.float64):
    logits, labels, valid = batch_of(hierarchy, size, seed, dtype)
    generator = torch.Generator().manual_seed(seed + 7)
    others = torch.randint(len(hierarchy), (size,), generator=generator)
    shares = torch.rand(size, generator=generator)
    shares[: size // 3] = 1.0  # not mixed
    return logits, labels, valid, MixedLabels(others, shares)


def fast(hierarchy, config, logits, labels, valid, mixed):
    """The loss and its gradient in class order; the teacher's logits are the student's, backwards."""
    order = level_order(hierarchy)
    rows, leaf = torch.from_numpy(order.class_of_row), logits.clone().requires_grad_()
    loss = build_loss(config, order, distill=DISTILL)
    teacher = logits.flip(1)[:, rows] if config.scheme in DISTILLING else None
    value = loss(leaf[:, rows], labels, valid, teacher, mixed)
    value.backward()
    return value.detach(), leaf.grad


def slow(hierarchy, config, logits, labels, valid, mixed):
    leaf, valid = logits.double().clone().requires_grad_(), valid.tolist()
    parts = zip(labels.tolist(), mixed.ids.tolist(), mixed.shares.tolist(), strict=True)
    mixtures = [[(own, share), (other, 1 - share)] for own, other, share in parts]
    value = slow_mixtures(leaf, mixtures, valid, hierarchy, config)
    if config.scheme in DISTILLING:
        teacher, value = logits.double().flip(1), DISTILL.hard_weight * value
        if config.scheme in MULTI_LABEL:
            value = value + slow_class_distillation(leaf, teacher, valid, DISTILL)
        else:
            levels = active_levels(hierarchy) if config.scheme.startswith("semantic") else None
            value = value + slow_distillation(leaf, teacher, valid, levels, DISTILL)
    value.backward()
    return value.detach(), leaf.grad


@pytest.mark.parametrize("scheme", ALL)
@settings(max_examples=30)
@given(
    hierarchies().filter(lambda hierarchy: level_order(hierarchy).active),
    st.integers(1, 6),
    st.integers(0, 2**31),
    st.sampled_from([0.0, 0.2]),
    st.sampled_from([0.0, 2.0]),
)
def test_it_is_the_loss_of_the_mixed_targets(scheme, hierarchy, size, seed, smoothing, gamma):
    config = LossConfig(scheme, label_smoothing=smoothing, gamma_positive=gamma)
    batch = mixed_batch(hierarchy, size, seed)
    (value, gradient), (expected, slow_gradient) = fast(hierarchy, config, *batch), slow(hierarchy, config, *batch)
    torch.testing.assert_close(value, expected, rtol=1e-6, atol=1e-9)  # the shares are float32
    torch.testing.assert_close(gradient, slow_gradient, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("scheme", ALL)
def test_it_is_the_same_block_by_block_and_in_mixed_precision(monkeypatch, scheme, dtype):
    monkeypatch.setattr(row_loss, "_BLOCK", 2 * len(TREE))
    batch, config = mixed_batch(TREE, 5, 3, dtype), LossConfig(scheme)
    (value, gradient), (expected, slow_gradient) = fast(TREE, config, *batch), slow(TREE, config, *batch)
    torch.testing.assert_close(value.double(), expected, rtol=2e-5, atol=2e-6)
    rounding = 2e-5 if dtype == torch.float32 else 2e-2
    torch.testing.assert_close(gradient.double(), slow_gradient, rtol=rounding, atol=rounding / 10)


@pytest.mark.parametrize("scheme", ALL)
def test_where_no_share_is_less_than_one_it_is_the_loss_without_mixtures(scheme):
    logits, labels, valid, mixed = mixed_batch(TREE, 4, 5)
    whole = MixedLabels(mixed.ids, torch.ones(4))
    mixtures = fast(TREE, LossConfig(scheme), logits, labels, valid, whole)
    plain = fast(TREE, LossConfig(scheme), logits, labels, valid, None)
    for one, other in zip(mixtures, plain, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("scheme", ALL)
def test_nothing_in_it_waits_for_the_device(scheme):
    """Tensors of the meta device have no values, so whatever needs one on the host fails there."""
    loss = build_loss(LossConfig(scheme), level_order(TREE)).to("meta")
    logits = torch.empty(4, len(TREE), device="meta", requires_grad=True)
    ids, valid = torch.empty(4, dtype=torch.int64, device="meta"), torch.empty(4, dtype=torch.bool, device="meta")
    teacher = logits.detach() if scheme in DISTILLING else None
    loss(logits, ids, valid, teacher, MixedLabels(ids, torch.empty(4, device="meta"))).backward()
    assert logits.grad.shape == logits.shape

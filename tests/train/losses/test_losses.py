"""Each scheme's loss against a slow version in float64, on random trees and on the real one."""

import functools
import math

import numpy as np
import pytest
import torch
from hierarchies import batch_of, hierarchies, published_hierarchy
from hypothesis import given, settings
from hypothesis import strategies as st
from slow_losses import (
    active_levels,
    slow_class_distillation,
    slow_distillation,
    slow_hierarchical,
    slow_multi_label,
    slow_single_label,
    slow_soft_labels,
)
from slow_semantic_softmax import slow_loss

from in21k.train.config.settings import Config, DistillConfig, LossConfig
from in21k.train.errors import TrainError
from in21k.train.losses import row_loss
from in21k.train.losses.distillation import confidence
from in21k.train.losses.schemes import DISTILLING, MULTI_LABEL, SCHEMES, build_loss
from in21k.train.model.level_order import flat_order, level_order
from in21k.tree.hierarchy import Hierarchy

ALL = sorted(SCHEMES)
TOLERANCES = {torch.float64: (1e-9, 1e-11), torch.float32: (2e-5, 2e-6), torch.bfloat16: (2e-2, 2e-3)}
"""Relative and absolute tolerance of gradients; for bfloat16 logits, the value has that of float32."""


def config_of(scheme, **values):
    distill = DistillConfig(**{name: value for name, value in values.items() if hasattr(DistillConfig, name)})
    loss = LossConfig(scheme, **{name: value for name, value in values.items() if hasattr(LossConfig, name)})
    return Config(loss=loss, distill=distill)


def fast(hierarchy, config, logits, labels, valid, teacher):
    """The loss and its gradient in class order."""
    order = level_order(hierarchy)
    rows = torch.from_numpy(order.class_of_row)
    leaf = logits.clone().requires_grad_()
    loss = build_loss(config.loss, order, distill=config.distill)
    teacher_logits = (teacher[:, rows],) if config.loss.scheme in DISTILLING else ()
    value = loss(leaf[:, rows], labels, valid, *teacher_logits)
    value.backward()
    return value.detach(), leaf.grad


def slow(hierarchy, config, logits, labels, valid, teacher):
    """The same from the slow versions."""
    leaf = logits.double().requires_grad_()
    scheme, smoothing = config.loss.scheme, config.loss.label_smoothing
    labels, valid = labels.tolist(), valid.tolist()
    if scheme in MULTI_LABEL:
        value = slow_multi_label(leaf, [set(hierarchy.path(label)) for label in labels], valid, config.loss)
    elif scheme in ("single-label", "distillation"):
        value = slow_single_label(leaf, labels, valid, smoothing)
    elif scheme == "hierarchical-cross-entropy":
        value = slow_hierarchical(leaf, labels, valid, hierarchy, config.loss.alpha)
    elif scheme == "soft-labels":
        value = slow_soft_labels(leaf, labels, valid, hierarchy, config.loss.beta)
    else:
        value = slow_loss(leaf, labels, valid, hierarchy, smoothing)
    if scheme in DISTILLING:
        value = config.distill.hard_weight * value
        if scheme in MULTI_LABEL:
            value = value + slow_class_distillation(leaf, teacher.double(), valid, config.distill)
        else:
            levels = active_levels(hierarchy) if scheme.startswith("semantic") else None
            value = value + slow_distillation(leaf, teacher.double(), valid, levels, config.distill)
    if value.requires_grad:
        value.backward()
    return value.detach(), torch.zeros_like(leaf) if leaf.grad is None else leaf.grad


def assert_equal(hierarchy, config, size, seed, dtype=torch.float64):
    logits, labels, valid = batch_of(hierarchy, size, seed, dtype)
    teacher = batch_of(hierarchy, size, seed + 1, dtype)[0]
    value, gradient = fast(hierarchy, config, logits, labels, valid, teacher)
    expected, slow_gradient = slow(hierarchy, config, logits, labels, valid, teacher)
    relative, absolute = TOLERANCES[torch.float64 if dtype == torch.float64 else torch.float32]
    assert value.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    torch.testing.assert_close(value.double(), expected, rtol=relative, atol=absolute)
    relative, absolute = TOLERANCES[dtype]
    torch.testing.assert_close(gradient.double(), slow_gradient, rtol=relative, atol=absolute)


def has_levels(hierarchy):
    return bool(level_order(hierarchy).active)


SETTINGS = st.fixed_dictionaries(
    {
        "label_smoothing": st.sampled_from([0.0, 0.2]),
        "gamma_negative": st.sampled_from([0.0, 1.0, 4.0]),
        "gamma_positive": st.sampled_from([0.0, 1.0, 2.5]),
        "clip": st.sampled_from([0.0, 0.05]),
        "alpha": st.sampled_from([0.0, 0.5, 2.0]),
        "beta": st.sampled_from([0.0, 4.0, 30.0]),
        "weight": st.sampled_from([0.5, 5.0]),
        "hard_weight": st.sampled_from([0.0, 1.0, 2.0]),
        "divergence": st.sampled_from(["squared", "kl"]),
        "temperature": st.sampled_from([1.0, 4.0]),
        "top_share": st.sampled_from([0.05, 0.5]),
    }
)


@pytest.mark.parametrize("scheme", ALL)
@settings(max_examples=40)
@given(
    hierarchies().filter(has_levels),
    st.integers(1, 5),
    st.integers(0, 2**31),
    SETTINGS,
    st.sampled_from(list(TOLERANCES)),
)
def test_it_equals_the_slow_version(scheme, hierarchy, size, seed, values, dtype):
    assert_equal(hierarchy, config_of(scheme, **values), size, seed, dtype)


cached = functools.cache(published_hierarchy)


@pytest.fixture(scope="module")
def published():
    return cached()


@pytest.mark.parametrize(
    "dtype",
    [
        pytest.param(torch.float64, id="float64"),
        pytest.param(torch.float32, id="float32", marks=pytest.mark.slow),
        pytest.param(torch.bfloat16, id="bfloat16", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("scheme", ALL)
def test_it_equals_the_slow_version_on_the_real_tree(published, scheme, dtype):
    assert_equal(published, config_of(scheme, weight=5.0), 2, 11, dtype)


@pytest.mark.parametrize("scheme", ALL)
def test_autocast_does_not_change_its_precision(published, scheme):
    config = config_of(scheme)
    logits, labels, valid = batch_of(published, 4, 3, torch.bfloat16)
    teacher = batch_of(published, 4, 4, torch.bfloat16)[0]
    plain = fast(published, config, logits, labels, valid, teacher)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = fast(published, config, logits, labels, valid, teacher)
    assert cast[0].dtype == torch.float32
    torch.testing.assert_close(cast[0], plain[0], rtol=1e-6, atol=0)
    torch.testing.assert_close(cast[1], plain[1], rtol=0, atol=0)


@pytest.mark.parametrize("scheme", ALL)
def test_nothing_in_it_waits_for_the_device(published, scheme):
    """Tensors of the meta device have no values, so whatever needs one on the host fails there."""
    loss = build_loss(LossConfig(scheme), level_order(published)).to("meta")
    logits = torch.empty(4, len(published), device="meta", requires_grad=True)
    labels, valid = torch.empty(4, dtype=torch.int64, device="meta"), torch.empty(4, dtype=torch.bool, device="meta")
    loss(logits, labels, valid, *([logits.detach()] if scheme in DISTILLING else [])).backward()
    assert logits.grad.shape == logits.shape


@pytest.mark.parametrize("scheme", ALL)
def test_it_compiles_to_one_graph_with_the_same_value(scheme):
    hierarchy = Hierarchy(tuple("abcdefg"), np.array([-1, -1, 0, 0, 1, 3, 4], np.int32))
    order = level_order(hierarchy)
    loss = build_loss(LossConfig(scheme), order)
    logits, labels, valid = batch_of(hierarchy, 4, 5, torch.float32)
    teacher = [batch_of(hierarchy, 4, 6, torch.float32)[0]] if scheme in DISTILLING else []
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    gradients, values = [], []
    for each in (loss, compiled):
        leaf = logits.clone().requires_grad_()
        values.append(each(leaf, labels, valid, *teacher))
        values[-1].backward()
        gradients.append(leaf.grad)
    torch.testing.assert_close(*values, rtol=1e-6, atol=0)
    torch.testing.assert_close(*gradients, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("scheme", ALL)
def test_huge_logits_stay_finite(published, scheme):
    logits = torch.full((2, len(published)), -1e4)
    logits[:, ::7] = 1e4
    labels, valid = torch.tensor([3, 11000]), torch.tensor([True, True])
    for values in ({}, {"gamma_negative": 0.0, "gamma_positive": 0.0, "clip": 0.0, "divergence": "kl"}):
        value, gradient = fast(published, config_of(scheme, **values), logits, labels, valid, -logits)
        assert value.isfinite()
        assert gradient.isfinite().all()


@pytest.mark.parametrize("scheme", ALL)
def test_float16_has_float32s_gradient_at_the_first_loss_scale(published, scheme):
    """65,536 is no number of float16, and most of the gradient is too small for it before it is scaled."""
    config, order = config_of(scheme), level_order(published)
    half, labels, valid = batch_of(published, 64, 0, torch.float16)
    teacher = batch_of(published, 64, 1, torch.float16)[0]
    more = (teacher,) if scheme in DISTILLING else ()
    loss = build_loss(config.loss, order, distill=config.distill)
    wide = half.detach().float()
    for logits in (half, wide):
        (loss(logits.requires_grad_(), labels, valid, *more) * 2.0**16).backward()
    assert half.grad.dtype == torch.float16
    inside = wide.grad.abs() < torch.finfo(torch.float16).max
    torch.testing.assert_close(half.grad.float()[inside], wide.grad[inside], rtol=1e-3, atol=2.0**-24)
    assert (half.grad == 0).sum() <= (wide.grad.abs() < 2.0**-24).sum()


@pytest.mark.parametrize("scheme", ALL)
@pytest.mark.parametrize("rows", [1, 3, 100])
def test_blocks_of_rows_change_nothing(scheme, rows, monkeypatch):
    hierarchy = cached()
    config = config_of(scheme)
    logits, labels, valid = batch_of(hierarchy, 7, 8)
    teacher = batch_of(hierarchy, 7, 9)[0]
    whole = fast(hierarchy, config, logits, labels, valid, teacher)
    monkeypatch.setattr(row_loss, "_BLOCK", rows * len(hierarchy))
    for own, expected in zip(fast(hierarchy, config, logits, labels, valid, teacher), whole, strict=True):
        torch.testing.assert_close(own, expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("scheme", ALL)
@pytest.mark.parametrize("values", [{}, {"divergence": "kl", "temperature": 2.0, "clip": 0.0, "gamma_negative": 2.5}])
def test_its_gradient_is_that_of_its_value(scheme, values):
    hierarchy = Hierarchy(tuple("abcdefg"), np.array([-1, -1, 0, 0, 1, 3, 4], np.int32))
    config = config_of(scheme, **values)
    logits, labels, valid = batch_of(hierarchy, 3, 8, torch.float64)
    more = (batch_of(hierarchy, 3, 9, torch.float64)[0],) if scheme in DISTILLING else ()
    loss = build_loss(config.loss, level_order(hierarchy), distill=config.distill)
    for scale in (1, 0.25):
        assert torch.autograd.gradcheck(
            lambda each, scale=scale: scale * loss(each, labels, valid, *more), logits.requires_grad_()
        )


@pytest.mark.parametrize("scheme", ALL)
def test_its_peak_is_three_times_the_logits(published, scheme):
    """Themselves, their gradient, and the gradient scaled; what blocks of rows took besides is gone by then."""
    logits = torch.randn(256, len(published)).requires_grad_()
    labels, valid = torch.zeros(256, dtype=torch.int64), torch.ones(256, dtype=torch.bool)
    more = (logits.detach(),) if scheme in DISTILLING else ()
    loss = build_loss(LossConfig(scheme), level_order(published))
    with torch.profiler.profile(profile_memory=True) as profile:
        (loss(logits, labels, valid, *more) * 0.5).backward()
    assert peak_bytes(profile) < 2 * logits.nbytes + (1 << 16)


def peak_bytes(profile):
    """The most memory that was allocated at once."""
    held = most = 0
    for event in profile.profiler.kineto_results.events():
        if event.name() == "[memory]":
            held += event.nbytes()
            most = max(most, held)
    return most


@pytest.mark.parametrize("scheme", ALL)
def test_the_mean_over_micro_batches_is_that_of_the_batch(scheme):
    """Gradient accumulation and several ranks rely on it."""
    hierarchy = cached()
    config = config_of(scheme)
    logits, labels, valid = batch_of(hierarchy, 6, 8)
    teacher = batch_of(hierarchy, 6, 9)[0]
    whole = fast(hierarchy, config, logits, labels, valid, teacher)[0]
    parts = [fast(hierarchy, config, *(each[part] for each in (logits, labels, valid, teacher)))[0] for part in THIRDS]
    torch.testing.assert_close(torch.stack(parts).mean(), whole)


THIRDS = [slice(0, 2), slice(2, 4), slice(4, 6)]


def test_without_focusing_it_is_the_binary_cross_entropy():
    hierarchy = cached()
    logits, labels, _ = batch_of(hierarchy, 3, 1)
    config = config_of("multi-label", gamma_negative=0.0, gamma_positive=0.0, clip=0.0)
    value, _ = fast(hierarchy, config, logits, labels, torch.ones(3, dtype=torch.bool), logits)
    targets = torch.from_numpy(hierarchy.multi_hot(labels.numpy())).double()
    expected = torch.nn.functional.binary_cross_entropy_with_logits(logits, targets, reduction="sum") / 3
    torch.testing.assert_close(value, expected)


@given(st.integers(1, 60), st.integers(0, 2**31), st.sampled_from([0.01, 0.05, 0.2, 0.5, 1.0]), st.booleans())
def test_the_confidence_is_the_sum_of_the_highest(size, seed, share, repeated):
    values = torch.rand(3, size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    values = values.round(decimals=1) if repeated else values
    count = math.ceil(size * share)
    expected = [[sum(sorted(row, reverse=True)[:count])] for row in values.tolist()]
    torch.testing.assert_close(confidence(values, share), torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("at", [0, 41, 401])
def test_the_confidence_is_no_number_where_a_probability_is_none(at, sign):
    """Processors make NaN of either sign."""
    probs = torch.softmax(torch.randn(2, 402, generator=torch.Generator().manual_seed(0)), 1)
    probs[1, at] = math.copysign(math.nan, sign)
    assert confidence(probs, 0.05).isnan().tolist() == [[False], [True]]


@pytest.mark.parametrize(("size", "share"), [(1, 0.05), (3, 1.0), (60, 0.2), (401, 0.05), (2605, 0.05)])
@pytest.mark.parametrize("repeated", [False, True])
def test_the_confidence_is_the_same_in_a_compiled_network(size, share, repeated):
    """There, and on other devices, it is searched by other means."""
    probs = torch.softmax(torch.randn(5, size, generator=torch.Generator().manual_seed(0)), 1)
    probs = probs.bfloat16().float() if repeated else probs
    compiled = torch.compile(confidence, fullgraph=True, backend="aot_eager", dynamic=False)
    torch.testing.assert_close(confidence(probs, share), compiled(probs, share), rtol=1e-6, atol=0)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("scheme", sorted(DISTILLING - MULTI_LABEL))
def test_a_teacher_that_is_not_finite_is_noticed(published, scheme, value):
    logits, labels, valid = batch_of(published, 2, 1, torch.float32)
    teacher = batch_of(published, 2, 2, torch.float32)[0]
    teacher[1, :: 1 if value < 0 else 7] = value
    valid[:] = True
    assert not fast(published, config_of(scheme), logits, labels, valid, teacher)[0].isfinite()


@pytest.mark.parametrize(("scheme", "softmaxes"), [("semantic-softmax", 1), ("semantic-distillation", 2)])
def test_each_softmax_of_a_level_is_taken_once_per_block_of_many_rows(published, scheme, softmaxes):
    """Operations of few values cost their calls: 256 rows of the widest level are two blocks, of all levels six."""
    logits, order = torch.randn(256, len(published)), level_order(published)
    labels, valid = torch.zeros(256, dtype=torch.int64), torch.ones(256, dtype=torch.bool)
    more = (logits,) if scheme in DISTILLING else ()
    with torch.profiler.profile() as profile:
        build_loss(LossConfig(scheme), order)(logits.clone().requires_grad_(), labels, valid, *more)
    counts = {event.key: event.count for event in profile.key_averages()}
    assert counts["aten::_softmax"] == 2 * len(order.active) * softmaxes
    assert "aten::topk" not in counts


@pytest.mark.parametrize("scheme", sorted(DISTILLING))
def test_without_teacher_logits_it_is_the_hard_label_loss(scheme):
    hierarchy = cached()
    hard = {"distillation": "single-label", "multi-label-distillation": "multi-label"}.get(scheme, "semantic-softmax")
    logits, labels, valid = batch_of(hierarchy, 2, 1)
    order = level_order(hierarchy)
    alone = build_loss(LossConfig(scheme), order, distill=DistillConfig(hard_weight=0.0))(logits, labels, valid)
    other = build_loss(LossConfig(hard), order)
    torch.testing.assert_close(alone, other(logits, labels, valid))


@pytest.mark.parametrize("scheme", ALL)
def test_it_adds_nothing_to_a_models_weights(scheme):
    hierarchy = cached()
    assert not build_loss(LossConfig(scheme), level_order(hierarchy)).state_dict()


@pytest.mark.parametrize("values", [{"alpha": 0.0}, {"beta": 1e4}])
@given(hierarchies(), st.integers(1, 5), st.integers(0, 2**31))
def test_at_one_end_of_its_setting_it_is_the_cross_entropy(values, hierarchy, size, seed):
    scheme = "hierarchical-cross-entropy" if "alpha" in values else "soft-labels"
    logits, labels, valid = batch_of(hierarchy, size, seed)
    found = fast(hierarchy, config_of(scheme, **values), logits, labels, valid, logits)
    expected = fast(hierarchy, config_of("single-label", label_smoothing=0.0), logits, labels, valid, logits)
    for own, other in zip(found, expected, strict=True):
        torch.testing.assert_close(own, other)


def test_soft_labels_keep_no_table_of_all_pairs():
    loss = build_loss(LossConfig("soft-labels"), level_order(cached()))
    assert sum(each.nbytes for each in loss.buffers()) < 4e6


@pytest.mark.parametrize("name", ["gamma_negative", "gamma_positive"])
def test_a_focusing_without_a_bounded_gradient_is_refused(name):
    hierarchy = cached()
    with pytest.raises(TrainError, match=rf"loss\.{name}=0\.5 lies between 0 and 1; use 0, or at least 1"):
        build_loss(LossConfig("multi-label", **{name: 0.5}), level_order(hierarchy))


def test_an_ids_labels_may_be_any_classes():
    """Outside of a hierarchy an image has a label set of its own."""
    order = flat_order(4)
    loss = build_loss(LossConfig("multi-label"), order, np.array([[0, 2], [3, -1], [-1, -1]]))
    logits = torch.randn(3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    value = loss(logits, torch.tensor([2, 0, 1]), torch.ones(3, dtype=torch.bool))
    expected = slow_multi_label(logits, [set(), {0, 2}, {3}], [True] * 3, LossConfig("multi-label"))
    torch.testing.assert_close(value, expected)

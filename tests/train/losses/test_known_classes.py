"""The multi-label loss of data that know only some classes of each image: what is unknown adds nothing."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from slow_losses import slow_multi_label

from in21k.train.config.settings import LossConfig
from in21k.train.data.interfaces import ABSENT
from in21k.train.losses.schemes import build_loss
from in21k.train.model.level_order import flat_order

CONFIGS = [
    LossConfig("multi-label", gamma_negative=4.0, gamma_positive=1.0, clip=0.05),
    LossConfig("multi-label", gamma_negative=0.0, gamma_positive=0.0, clip=0.0),
]


def label_sets_of(state: np.ndarray) -> np.ndarray:
    """Of each image and class -1 for unknown, 0 for absent and 1 for present, as label sets."""
    classes = np.arange(state.shape[1])
    return np.where(state == 1, classes, np.where(state == 0, ABSENT - classes, -1))


@given(st.integers(1, 8), st.integers(1, 6), st.integers(0, 2**31), st.sampled_from(CONFIGS))
def test_loss_and_gradient_are_those_of_the_known_classes_alone(size, classes, seed, config):
    random = np.random.default_rng(seed)
    state = random.integers(-1, 2, (size, classes))
    state[0, 0] = 0  # some class is known to be absent
    valid = random.random(size) < 0.8
    logits = torch.from_numpy(random.normal(size=(size, classes)) * 3).requires_grad_()
    loss = build_loss(config, flat_order(classes), label_sets_of(state))
    value = loss(logits, torch.arange(size), torch.from_numpy(valid))
    value.backward()
    again = logits.detach().clone().requires_grad_()
    expected = again.sum() * 0
    for image, (row, is_valid) in enumerate(zip(state, valid.tolist(), strict=True)):
        known = np.flatnonzero(row >= 0)
        labels = {at for at, of in enumerate(known.tolist()) if row[of] == 1}
        expected = expected + slow_multi_label(again[image : image + 1, known], [labels], [is_valid], config) / size
    expected.backward()
    assert value.item() == pytest.approx(expected.item(), rel=1e-9, abs=1e-12)
    torch.testing.assert_close(logits.grad, again.grad, rtol=1e-9, atol=1e-12)


def test_where_nothing_is_unknown_the_loss_keeps_no_second_table():
    sets = np.array([[0, 1], [1, -1], [-1, -1]])
    assert build_loss(CONFIGS[0], flat_order(2), sets).absent is None

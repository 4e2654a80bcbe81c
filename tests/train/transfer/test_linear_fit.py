"""The linear classifier of a probe: scikit-learn's minimum, by blocks of any size, in bounded memory."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from largest import Largest
from torch.nn import functional as F

from in21k.train.transfer import linear_fit, row_blocks
from in21k.train.transfer.linear_fit import HELD_OUT, fit, fit_choosing
from in21k.train.transfer.linear_objective import Labels, Objective
from in21k.train.transfer.row_blocks import standardization
from in21k.train.transfer.row_space import row_space

CPU = torch.device("cpu")
SETS = torch.tensor([[0, -1], [2, 0], [1, -1], [1, 2], [-1, -1]])

SKLEARN = {  # scikit-learn 1.9.1's LogisticRegression(C=1 / (90 * strength), tol=1e-12) on features standardized first
    ("one class", 1e-1): (
        [
            [1.4236883286, -0.0260748001, 0.0181074434],
            [-0.7260685701, 0.4684117875, -0.0106555431],
            [-0.6976197586, -0.4423369875, -0.0074519003],
        ],
        [0.0547489851, -4.8046227686, 4.7498737834],
    ),
    ("one class", 1e-4): (
        [
            [3.1442775133, -0.1909283276, 0.0123968459],
            [-1.7973986444, 1.0301070392, 0.0268615322],
            [-1.3468788689, -0.8391787116, -0.0392583781],
        ],
        [1.6339805822, -11.4139771205, 9.7799965384],
    ),
    ("several", 1e-1): (
        [
            [2.0993665084, 0.0003945404, -0.0087622558],
            [0.0907635824, 0.9434487976, -0.0449114451],
            [0.3922435164, -0.0092884678, 0.0633803521],
        ],
        [0.1303620952, -9.0571926551, -2.596386702],
    ),
    ("several", 1e-4): (
        [
            [11.858758744, 0.0316949281, -0.1244015428],
            [0.0186412718, 2.680569454, -0.0899089571],
            [0.6575390232, -0.0156870443, 0.1072724568],
        ],
        [1.8541412553, -26.3945402622, -3.4654420574],
    ),
}


def waves():
    """90 images of 3 features, with their classes and their label sets, by formulas that any library can compute."""
    image, feature = np.arange(90)[:, None], np.arange(3)[None, :]
    values = (np.sin((1.3 + 0.6 * feature) * image + 0.7) * (1 + feature) + 10 * feature).astype(np.float32)
    first, second, at = values[:, 0], values[:, 1], image[:, 0]
    classes = np.where(at % 7 == 0, at // 7 % 3, np.where(first > 0.4, 0, np.where(second > 10.3, 1, 2)))
    several = np.stack([first > 0.2 * np.sin(at), second + np.cos(3 * at) > 10.5, at % 5 == 0], 1)
    sets = np.where(several, np.arange(3), -1)
    return (
        torch.from_numpy(values),
        Labels(torch.from_numpy(classes), 3),
        Labels(torch.arange(90), 3, torch.from_numpy(sets)),
    )


def separable(count=200, size=6, classes=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, classes, (count,), generator=generator)
    centres = 3 * torch.randn(classes, size, generator=generator)
    values = centres[labels] + torch.randn(count, size, generator=generator)
    return 10 + 5 * values, labels


def labels_of(classes, *, several: bool) -> Labels:
    return Labels(classes % 5, 3, SETS) if several else Labels(classes, 3)


def targets(labels: Labels) -> torch.Tensor:
    """[N, C]: 1 for the classes of each image."""
    if labels.sets is None:
        return F.one_hot(labels.ids, labels.classes).double()
    return torch.stack([(labels.sets[labels.ids] == number).any(1) for number in range(labels.classes)], 1).double()


def blocked(monkeypatch, block_bytes: int) -> None:
    """Let features be read in blocks of so many bytes."""
    monkeypatch.setattr(linear_fit, "row_blocks", partial(row_blocks.row_blocks, block_bytes=block_bytes))


@pytest.mark.parametrize("double", [True, False])
@pytest.mark.parametrize(("kind", "strength"), SKLEARN)
def test_the_fit_is_that_of_scikit_learn(monkeypatch, kind, strength, double):
    monkeypatch.setattr(row_blocks, "_DOUBLE", 1 << 27 if double else 0)
    blocked(monkeypatch, 800)
    values, one, several = waves()
    found = fit(values, several if kind == "several" else one, strength, CPU)
    weight, bias = map(torch.tensor, SKLEARN[kind, strength])
    assert found.weight.dtype == (torch.float64 if double else torch.float32)
    torch.testing.assert_close(found.weight.float(), weight, rtol=2e-3, atol=2e-4)
    torch.testing.assert_close(found.bias.float(), bias, rtol=2e-3, atol=2e-3)
    expected = values @ weight.T + bias
    assert torch.equal(found(values).argmax(1), expected.argmax(1))


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize(("double", "rtol"), [(True, 1e-12), (False, 1e-6)])
@pytest.mark.parametrize("leave_out", [0, HELD_OUT])
def test_blocks_of_any_size_give_the_loss_and_gradient_of_all_images_at_once(
    monkeypatch, several, double, rtol, leave_out
):
    monkeypatch.setattr(row_blocks, "_DOUBLE", 1 << 27 if double else 0)
    values, classes = separable(203)
    labels, strength = labels_of(torch.arange(203) if several else classes, several=several), 0.01
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(3, 6, generator=generator, dtype=torch.float64).requires_grad_()
    bias = torch.randn(3, generator=generator, dtype=torch.float64).requires_grad_()
    kept = torch.arange(203) % HELD_OUT != 0 if leave_out else torch.ones(203, dtype=torch.bool)
    inputs, wanted = values[kept].double(), targets(labels)[kept]
    logits = F.linear((inputs - inputs.mean(0)) / inputs.std(0), weight, bias)
    losses = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none") if several else None
    loss = losses.sum(1).mean() if losses is not None else F.cross_entropy(logits, wanted)
    loss = loss + strength / 2 * weight.square().sum()
    loss.backward()
    for block_bytes in (1, 1000, 4000, 1 << 20):
        blocks = row_blocks.row_blocks(values, 3, CPU, leave_out, block_bytes)
        found = Objective(blocks, labels, standardization(blocks), strength)(weight.detach(), bias.detach())
        assert len(blocks) == kept.sum()
        assert float(found[0]) == pytest.approx(loss.item(), rel=rtol)
        torch.testing.assert_close(found[1], weight.grad, rtol=rtol, atol=rtol)
        torch.testing.assert_close(found[2], bias.grad, rtol=rtol, atol=rtol)


@pytest.mark.parametrize("several", [False, True])
def test_the_fit_is_the_minimum(several):
    """The gradient of the loss is zero there."""
    values, classes = separable()
    labels, strength = labels_of(torch.arange(200) if several else classes, several=several), 0.01
    found = fit(values, labels, strength, CPU)
    mean, std = values.double().mean(0), values.double().std(0)
    weight, logits = found.weight * std, found(values)
    probabilities = logits.sigmoid() if several else logits.softmax(1)
    errors = (probabilities - targets(labels)) / len(values)
    gradient = errors.T @ ((values.double() - mean) / std) + strength * weight
    assert gradient.abs().max() < 1e-5
    assert errors.sum(0).abs().max() < 1e-5


@pytest.mark.parametrize("several", [False, True])
def test_of_few_images_the_minimum_is_found_in_the_space_of_their_features(several):
    values, classes = separable(count=60, size=200)
    values[:, 7] = 3.0  # standardized, it is nothing
    values[5] = values[4]  # of fewer dimensions than images
    labels = labels_of(torch.arange(60) if several else classes, several=several)
    for leave_out in (0, HELD_OUT):
        blocks = row_blocks.row_blocks(values, 3, CPU, leave_out)
        standardize = standardization(blocks)
        objective, space = Objective(blocks, labels, standardize, 0.01), row_space(blocks, standardize)
        assert space is not None
        assert space.coordinates.shape == (len(blocks), len(blocks))
        start = fit(values, labels, 1.0, CPU)
        found, plain = (linear_fit.minimum(objective, start, each) for each in (space, None))
        torch.testing.assert_close(found.weight, plain.weight, rtol=1e-3, atol=2e-5)
        torch.testing.assert_close(found(values), plain(values), rtol=1e-3, atol=1e-3)
    blocks = row_blocks.row_blocks(values[:, :100], 3, CPU)
    assert row_space(blocks, standardization(blocks)) is None  # of no use


def test_another_start_leads_to_the_same_minimum():
    values, classes = separable()
    labels = Labels(classes, 3)
    blocks = row_blocks.row_blocks(values, 3, CPU)
    objective = Objective(blocks, labels, standardization(blocks), 0.01)
    found = linear_fit.minimum(objective)
    other = linear_fit.minimum(objective, fit(values, labels, 1.0, CPU))
    torch.testing.assert_close(other.weight, found.weight, rtol=1e-3, atol=1e-4)


def test_the_strength_is_the_best_of_the_held_out_tenth(monkeypatch):
    blocked(monkeypatch, 1 << 16)
    values, labels = separable(400)
    noise = torch.randn(400, 300, generator=torch.Generator().manual_seed(1))
    seen = []

    def score(logits):
        right = torch.cat([rows.argmax(1) == labels[images] for rows, images in logits])
        seen.append(torch.cat([images for _, images in logits]).tolist())
        return float(right.double().mean())

    chosen = fit_choosing(torch.cat([values, noise], 1), Labels(labels, 3), score, CPU)
    assert seen == [list(range(0, 400, 10))] * len(linear_fit.STRENGTHS)
    assert chosen.scores[chosen.strength] == max(chosen.scores.values())
    assert chosen.scores[chosen.strength] > 0.8


@pytest.mark.parametrize("several", [False, True])
def test_no_step_takes_more_memory_than_a_block_however_many_images_there_are(monkeypatch, several):
    block_bytes = 1 << 14
    blocked(monkeypatch, block_bytes)
    monkeypatch.setattr(linear_fit, "MAX_STEPS", 3)
    values, classes = separable(4_000, 32)
    labels = labels_of(torch.arange(4_000) if several else classes, several=several)
    with Largest(values) as largest:
        fit_choosing(values, labels, lambda logits: math.fsum(float(rows.sum()) for rows, _ in logits), CPU)
    assert values.nbytes > 30 * block_bytes
    assert largest.bytes <= block_bytes


def test_a_probe_of_imagenet_1k_takes_less_than_a_gigabyte_beside_its_features():
    features = torch.zeros(1, 2048).expand(1_281_167, 2048)
    blocks = row_blocks.row_blocks(features, 1000, CPU, HELD_OUT)
    assert (blocks.rows % HELD_OUT, len(blocks)) == (0, 1_153_050)
    assert 60 << 20 < blocks.rows * (2048 + 1000) * 4 <= 64 << 20
    assert linear_fit.workspace_bytes(1000, 2048) < 1e9

"""Logistic regression by L-BFGS: one softmax over the classes, or a sigmoid per class; deterministic.

Features are read in blocks and never copied as a whole, so that those of ImageNet-1K need no more memory beside them
than a smaller set's: `workspace_bytes` says how much.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from in21k.shards_manifest.command.progress import Progress
from in21k.train.errors import TrainError
from in21k.train.transfer.linear_objective import Labels, Objective
from in21k.train.transfer.row_blocks import (
    BLOCK_BYTES,
    RowBlocks,
    compute_type,
    row_blocks,
    standardization,
)
from in21k.train.transfer.row_space import RowSpace, row_space

STRENGTHS = tuple(10.0 ** (exponent / 2) for exponent in range(2, -13, -1))
"""L2 strengths to try, from 10 down to 1e-6."""

HELD_OUT = 10
"""One image in this many is held out to choose the strength."""

MAX_STEPS = 300

HISTORY = 10
"""Steps that L-BFGS remembers, each as two vectors of the classifier's size."""

_VECTORS = 2 * HISTORY + 16
"""Of the classifier's size in float64, with L-BFGS's others, the gradient's and its parts."""


@dataclass(frozen=True, eq=False)
class Linear:
    """Logits = features · weightᵀ + bias."""

    weight: Tensor
    """[C, D]."""
    bias: Tensor
    """[C]."""

    def __call__(self, features: Tensor) -> Tensor:
        """Return logits [N, C] of features [N, D]."""
        return F.linear(features.to(self.weight.dtype), self.weight, self.bias)


@dataclass(frozen=True, eq=False)
class BlockLogits:
    """The logits of images, computed block by block as often as they are read."""

    linear: Linear
    blocks: RowBlocks
    every: int = 1
    """What the blocks number 0, 1, 2 are the images 0, `every`, 2 `every`."""

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield logits [n, C] and the numbers of their images, int64 [n]."""
        for values, images in self.blocks:
            yield self.linear(values), images * self.every


@dataclass(frozen=True, eq=False)
class Chosen:
    """The classifier fitted to all training images, and the choice of its L2 strength."""

    linear: Linear
    strength: float
    scores: Mapping[float, float]
    """The score of each strength tried on the held-out images, 0 to 1."""


def fit_choosing(
    features: Tensor, labels: Labels, score: Callable[[BlockLogits], float], device: torch.device
) -> Chosen:
    """Return the classifier fitted to all images, at the strength that scores best on a held-out tenth of them.

    Of equal scores, that of the largest strength is taken.

    Args:
        features: float32 [N, D], on any device.
        labels: of the N images, on the device to compute on.
        score: of the logits of the held-out images; higher is better.
        device: to compute on; features that lie elsewhere are copied there a block at a time.

    Raises:
        TrainError: there are too few images.
    """
    if len(features) < 2 * HELD_OUT:
        raise TrainError(
            f"{len(features)} training images are too few for a linear probe; it needs at least {2 * HELD_OUT}"
        )
    blocks = row_blocks(features, labels.classes, device, leave_out=HELD_OUT)
    held = row_blocks(features[::HELD_OUT], labels.classes, device)
    standardize = standardization(blocks)
    space = row_space(blocks, standardize)
    scores: dict[float, float] = {}
    linear = None
    with Progress("fit", "L2 strength", len(STRENGTHS)) as bar:
        for strength in STRENGTHS:
            linear = minimum(Objective(blocks, labels, standardize, strength), linear, space)
            scores[strength] = score(BlockLogits(linear, held, HELD_OUT))
            bar.update()
    best = max(scores, key=lambda strength: scores[strength])  # of equal scores, the first: the largest strength
    return Chosen(fit(features, labels, best, device), best, scores)


def fit(features: Tensor, labels: Labels, strength: float, device: torch.device) -> Linear:
    """Return the classifier that minimizes the mean loss per image plus strength / 2 times the squared weights.

    Features are standardized to mean 0 and standard deviation 1 first, so that one strength suits them all; the
    returned weights apply to the features as given.

    Args:
        features: float32 [N, D], on any device.
        labels: of the N images, on the device to compute on. The loss of an image with any number of classes is the sum
            over the classes.
        strength: of the L2 penalty, which leaves the bias out.
        device: to compute on.
    """
    blocks = row_blocks(features, labels.classes, device)
    standardize = standardization(blocks)
    return minimum(Objective(blocks, labels, standardize, strength), space=row_space(blocks, standardize))


def minimum(objective: Objective, start: Linear | None = None, space: RowSpace | None = None) -> Linear:
    """Return the classifier that minimizes an objective, for features that are not standardized.

    Args:
        objective: of standardized features.
        start: initial weights; zeros by default.
        space: that of the features, in which the same minimum is found sooner; None where it is of no use.
    """
    standardize, size = objective.standardize, objective.blocks.features.shape[1]
    mean, std = standardize.mean.double(), standardize.std.double()
    if start is None:
        weight, bias = mean.new_zeros(objective.labels.classes, size), mean.new_zeros(objective.labels.classes)
    else:
        plain = start.weight.double()
        weight, bias = plain * std, start.bias.double() + plain @ mean
    if space is None:
        _minimize(objective, weight, bias)
    else:
        within = weight @ space.basis
        _minimize(space.objective(objective.labels, objective.strength), within, bias)
        weight = within @ space.basis.T
    plain = weight / std
    dtype = compute_type(objective.blocks.features)
    return Linear(plain.to(dtype), (bias - plain @ mean).to(dtype))


def workspace_bytes(classes: int, size: int) -> int:
    """Return the most memory that fitting takes beside the features, in bytes.

    Args:
        classes: C.
        size: D, features per image.
    """
    return 4 * BLOCK_BYTES + 8 * _VECTORS * classes * (size + 1)


def _minimize(objective: Objective, weight: Tensor, bias: Tensor) -> None:
    """Bring weights, float64, to the minimum of an objective, in place."""
    optimizer = torch.optim.LBFGS(
        [weight, bias],
        max_iter=MAX_STEPS,
        history_size=HISTORY,
        tolerance_grad=1e-6,
        tolerance_change=1e-10,
        line_search_fn="strong_wolfe",
    )

    @torch.no_grad()
    def closure() -> Tensor:
        loss, weight.grad, bias.grad = objective(weight, bias)
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]

"""Logistic regression by L-BFGS: one softmax over the classes, or a sigmoid per class; deterministic."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from in21k.train.errors import TrainError

STRENGTHS = tuple(10.0 ** (exponent / 2) for exponent in range(2, -13, -1))
"""L2 strengths to try, from 10 down to 1e-6."""

HELD_OUT = 10
"""One image in this many is held out to choose the strength."""

MAX_STEPS = 300

_DOUBLE = 1 << 27
"""Features of more values than this are fitted in float32, to save memory."""


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
class Chosen:
    """The classifier fitted to all training images, and the choice of its L2 strength."""

    linear: Linear
    strength: float
    scores: Mapping[float, float]
    """The score of each strength tried on the held-out images, 0 to 1."""


def fit_choosing(
    features: Tensor, targets: Tensor, score: Callable[[Tensor, Tensor], float], *, multi_label: bool
) -> Chosen:
    """Return the classifier fitted to all images, at the strength that scores best on a held-out tenth of them.

    Of equal scores, that of the largest strength is taken.

    Args:
        features: float32 [N, D].
        targets: float32 [N, C], 0 or 1; one 1 in each row where images have one class.
        score: of logits [n, C] and the indices of their images among the N, int64 [n]; higher is better.
        multi_label: whether classes are independent.

    Raises:
        TrainError: there are too few images.
    """
    if len(features) < 2 * HELD_OUT:
        raise TrainError(
            f"{len(features)} training images are too few for a linear probe; it needs at least {2 * HELD_OUT}"
        )
    indices = torch.arange(len(features), device=features.device)
    held = indices % HELD_OUT == 0
    scores: dict[float, float] = {}
    linear = None
    for strength in STRENGTHS:
        linear = fit(features[~held], targets[~held], strength, multi_label=multi_label, start=linear)
        scores[strength] = score(linear(features[held]), indices[held])
    best = max(scores, key=lambda strength: scores[strength])  # of equal scores, the first: the largest strength
    return Chosen(fit(features, targets, best, multi_label=multi_label), best, scores)


def fit(
    features: Tensor, targets: Tensor, strength: float, *, multi_label: bool, start: Linear | None = None
) -> Linear:
    """Return the classifier that minimizes the mean loss per image plus strength / 2 times the squared weights.

    Features are standardized to mean 0 and standard deviation 1 first, so that one strength suits them all; the
    returned weights apply to the features as given.

    Args:
        features: [N, D].
        targets: [N, C], 0 or 1.
        strength: of the L2 penalty, which leaves the bias out.
        multi_label: use a sigmoid per class instead of the softmax; an image's loss is the sum over classes.
        start: initial weights; zeros by default.
    """
    dtype = torch.float64 if features.numel() <= _DOUBLE else torch.float32
    values = features.to(dtype)
    mean, std = values.mean(0), values.std(0)
    std = torch.where(std > 1e-8, std, torch.ones_like(std))
    values = (values - mean) / std
    weight, bias = _initial(targets.shape[1], mean, std, start)
    wanted = targets.to(dtype) if multi_label else targets.argmax(1)

    def loss() -> Tensor:
        """Return the objective."""
        logits = F.linear(values, weight, bias)
        if multi_label:
            data = F.binary_cross_entropy_with_logits(logits, wanted, reduction="sum") / len(logits)
        else:
            data = F.cross_entropy(logits, wanted)
        return data + strength / 2 * weight.square().sum()

    _minimize(loss, [weight, bias])
    plain = (weight / std).detach()
    return Linear(plain, (bias - plain @ mean).detach())


def _initial(classes: int, mean: Tensor, std: Tensor, start: Linear | None) -> tuple[Tensor, Tensor]:
    """Return the initial weight and bias for standardized features."""
    if start is None:
        weight, bias = mean.new_zeros(classes, len(mean)), mean.new_zeros(classes)
    else:
        weight, bias = start.weight * std, start.bias + start.weight @ mean
    return weight.requires_grad_(), bias.requires_grad_()


def _minimize(loss: Callable[[], Tensor], parameters: list[Tensor]) -> None:
    optimizer = torch.optim.LBFGS(
        parameters, max_iter=MAX_STEPS, tolerance_grad=1e-6, tolerance_change=1e-10, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimizer.step(closure)  # type: ignore[no-untyped-call]

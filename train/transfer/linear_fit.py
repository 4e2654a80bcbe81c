"""Logistic regression by L-BFGS: one softmax over the classes, or a sigmoid a class; the same result every time."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from in21k.train.errors import TrainError

STRENGTHS = tuple(10.0 ** (exponent / 2) for exponent in range(2, -13, -1))
"""L2 strengths that are tried, from 10 down to 1e-6."""

HELD_OUT = 10
"""One image in so many is held out while the strength is chosen."""

MAX_STEPS = 300

_DOUBLE = 1 << 27
"""Features of more numbers than this are fitted in float32, for memory."""


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
    """The classifier of all training images, and how its strength was found."""

    linear: Linear
    strength: float
    scores: Mapping[float, float]
    """The score on the images held out, 0 to 1, of each strength tried."""


def fit_choosing(
    features: Tensor, targets: Tensor, score: Callable[[Tensor, Tensor], float], *, multi_label: bool
) -> Chosen:
    """Return the classifier fitted to all images at the strength that is best on a tenth of them, held out.

    Among equals the strongest is taken.

    Args:
        features: float32 [N, D].
        targets: float32 [N, C], 0 or 1; one 1 in each row where images have one class.
        score: of logits [n, C] and the places of their images among the N, int64 [n]; the higher, the better.
        multi_label: whether classes are independent of each other.

    Raises:
        TrainError: there are too few images.
    """
    if len(features) < 2 * HELD_OUT:
        raise TrainError(
            f"{len(features)} training images are too few for a linear probe; {2 * HELD_OUT} are the least"
        )
    places = torch.arange(len(features), device=features.device)
    held = places % HELD_OUT == 0
    scores: dict[float, float] = {}
    linear = None
    for strength in STRENGTHS:
        linear = fit(features[~held], targets[~held], strength, multi_label=multi_label, start=linear)
        scores[strength] = score(linear(features[held]), places[held])
    best = max(scores, key=lambda strength: scores[strength])  # of equals, the first one tried
    return Chosen(fit(features, targets, best, multi_label=multi_label), best, scores)


def fit(
    features: Tensor, targets: Tensor, strength: float, *, multi_label: bool, start: Linear | None = None
) -> Linear:
    """Return the minimum of the mean loss of an image plus strength / 2 times the squared weights.

    Features are brought to mean 0 and standard deviation 1 first, so that one strength suits them all; the weights that
    are returned are those of the features as they are.

    Args:
        features: [N, D].
        targets: [N, C], 0 or 1.
        strength: of the L2 penalty, which spares the bias.
        multi_label: a sigmoid a class in place of the softmax; an image's loss is the sum over classes.
        start: where to begin; zeros by default.
    """
    dtype = torch.float64 if features.numel() <= _DOUBLE else torch.float32
    values = features.to(dtype)
    mean, std = values.mean(0), values.std(0)
    std = torch.where(std > 1e-8, std, torch.ones_like(std))
    values = (values - mean) / std
    weight, bias = _begin(targets.shape[1], mean, std, start)
    wanted = targets.to(dtype) if multi_label else targets.argmax(1)

    def loss() -> Tensor:
        logits = F.linear(values, weight, bias)
        if multi_label:
            data = F.binary_cross_entropy_with_logits(logits, wanted, reduction="sum") / len(logits)
        else:
            data = F.cross_entropy(logits, wanted)
        return data + strength / 2 * weight.square().sum()

    _minimise(loss, [weight, bias])
    plain = (weight / std).detach()
    return Linear(plain, (bias - plain @ mean).detach())


def _begin(classes: int, mean: Tensor, std: Tensor, start: Linear | None) -> tuple[Tensor, Tensor]:
    """Return weight and bias, for features of mean 0 and deviation 1, to begin with."""
    if start is None:
        weight, bias = mean.new_zeros(classes, len(mean)), mean.new_zeros(classes)
    else:
        weight, bias = start.weight * std, start.bias + start.weight @ mean
    return weight.requires_grad_(), bias.requires_grad_()


def _minimise(loss: Callable[[], Tensor], parameters: list[Tensor]) -> None:
    optimizer = torch.optim.LBFGS(
        parameters, max_iter=MAX_STEPS, tolerance_grad=1e-6, tolerance_change=1e-10, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimizer.step(closure)  # type: ignore[no-untyped-call]

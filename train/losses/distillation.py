"""Distillation: the student also learns the teacher's probabilities.

Semantic distillation (paper, section 3.4, eq. 3 and 4) compares them level by level, and weights each level of an
image by the teacher's confidence there. The squared error and the 5 % of the classes that make up the confidence are
the reference code's; `kl` with a temperature is Hinton's distillation. In the multi-label scheme, each class has a
probability of its own, and the divergences of the classes are summed, as its hard-label loss is.
"""

import math
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from in21k.train.arrays import IntArray
from in21k.train.config.settings import DistillConfig
from in21k.train.losses.multi_label import AsymmetricLoss
from in21k.train.losses.row_loss import RowLoss
from in21k.train.losses.semantic_softmax import SoftmaxLoss

_GROUP = 4
"""Values in a group of the search for the highest."""

_Floats = npt.NDArray[np.floating[Any]]


def divergence(
    student: Tensor,
    teacher: Tensor,
    weights: Tensor,
    config: DistillConfig,
    own: Tensor | None = None,
    wanted: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Return the weighted divergence of the student's softmax from the teacher's, and its gradient, [B, N].

    Args:
        student: logits [B, N] of float32 or float64.
        teacher: logits [B, N] of the same type.
        weights: [B, 1]: what each image's divergence counts in the sum.
        config: the divergence, `squared`, the squared error summed over classes, or `kl`, the Kullback-Leibler
            divergence from the teacher's softmax to the student's times the squared temperature (arXiv 1503.02531);
            and the temperature, which divides both logits.
        own: the student's softmax at temperature 1, [B, N], if it is known.
        wanted: the teacher's, if it is known; it is changed.
    """
    temperature = config.temperature
    if temperature != 1:
        student, teacher, own, wanted = student / temperature, teacher / temperature, None, None
    if config.divergence == "squared":
        own = torch.softmax(student, 1) if own is None else own
        wanted = torch.softmax(teacher, 1) if wanted is None else wanted
        excess = wanted.sub_(own)  # the negative of the difference
        mean = (excess * own).sum(1, keepdim=True)  # the derivative of a softmax takes the mean out
        values = (excess * excess).sum(1, keepdim=True)
        return (values * weights).sum(), excess.sub_(mean).mul_(weights * (-2 / temperature)).mul_(own)
    target, log_probs = torch.log_softmax(teacher, 1), torch.log_softmax(student, 1)
    wanted = target.exp()
    values = (wanted * target.sub_(log_probs)).sum(1, keepdim=True)
    return (values * (weights * temperature**2)).sum(), log_probs.exp_().sub_(wanted).mul_(weights * temperature)


def class_divergence(student: Tensor, teacher: Tensor, weights: Tensor, config: DistillConfig) -> tuple[Tensor, Tensor]:
    """Return the weighted divergence of the student's sigmoids from the teacher's, and its gradient, [B, N].

    Args:
        student: logits [B, N] of float32 or float64.
        teacher: logits [B, N] of the same type.
        weights: [B, 1]: what each image's divergence counts in the sum.
        config: the divergence, `squared`, the squared error summed over classes, or `kl`, the sum over classes of the
            Kullback-Leibler divergence between "is one" and "is none", times the squared temperature; and the
            temperature, which divides both logits.
    """
    temperature = config.temperature
    student, teacher = student / temperature, teacher / temperature
    own, wanted = torch.sigmoid(student), torch.sigmoid(teacher)
    difference = own - wanted
    if config.divergence == "squared":
        values = (difference * difference).sum(1, keepdim=True)
        gradient = difference.mul_(own * torch.sigmoid(-student)).mul_(weights * (2 / temperature))
        return (values * weights).sum(), gradient
    is_one = wanted * (F.logsigmoid(teacher) - F.logsigmoid(student))
    is_none = torch.sigmoid(-teacher) * (F.logsigmoid(-teacher) - F.logsigmoid(-student))
    values = (is_one + is_none).sum(1, keepdim=True)
    return (values * (weights * temperature**2)).sum(), difference.mul_(weights * temperature)


def confidence(probs: Tensor, top_share: float) -> Tensor:
    """Return [B, 1], 0 to 1: the sum of the teacher's highest probabilities among N classes.

    Args:
        probs: [B, N], which sum to 1.
        top_share: share of the classes whose probabilities are summed, rounded up to whole classes.
    """
    return _sum_of_highest(probs, math.ceil(probs.shape[1] * top_share))


def _sum_of_highest(values: Tensor, count: int) -> Tensor:
    """Return [B, 1]: the sum of each row's `count` highest values, none of which is negative.

    All of them lie in the `count` groups with the highest maxima, so that only those groups are searched. On a CPU,
    NumPy's partition is faster than `topk`.
    """
    if values.device.type == "cpu" and not torch.compiler.is_compiling():
        return _sum_by_partition(values, count)
    groups = values.shape[1] // _GROUP
    if count < groups:
        grouped = values[:, : groups * _GROUP].reshape(-1, _GROUP, groups)
        best = grouped.amax(1).topk(count, 1, sorted=False).indices
        chosen = grouped.gather(2, best[:, None].expand(-1, _GROUP, -1)).flatten(1)
        values = torch.cat((chosen, values[:, groups * _GROUP :]), 1)
    return values.topk(count, 1, sorted=False).values.sum(1, keepdim=True)


def _sum_by_partition(values: Tensor, count: int) -> Tensor:
    """Do as `_sum_of_highest` on a CPU."""
    rows, width = values.shape
    groups, searched = width // _GROUP, values.numpy()
    if count < groups:
        maxima = values[:, : groups * _GROUP].reshape(rows, _GROUP, groups).amax(1).numpy()
        searched = _members(searched, _cells_of_highest(_in_order(maxima), count))
    highest = np.partition(_in_order(searched), -count, 1)[:, -count:]
    return torch.from_numpy(highest.view(searched.dtype).sum(1, keepdims=True))


def _members(values: _Floats, cells: IntArray) -> _Floats:
    """Return [B, M]: the members of some groups of each row, and its last values, which are in no group.

    Args:
        values: [B, N], contiguous; group g has the columns g, g + G, g + 2G and so on, of all G groups.
        cells: int64 [B, K]: the groups, counted through all rows; to be changed.
    """
    (rows, width), count = values.shape, cells.shape[1]
    groups = width // _GROUP
    rest = values[:, groups * _GROUP :]
    found = np.empty((rows, count * _GROUP + rest.shape[1]), values.dtype)
    found[:, count * _GROUP :] = rest
    cells += np.arange(rows)[:, None] * (width - groups)
    for start in range(0, count * _GROUP, count):
        np.take(values.reshape(-1), cells, out=found[:, start : start + count], mode="clip")  # raise would copy
        cells += groups
    return found


def _in_order(values: _Floats) -> npt.NDArray[np.unsignedinteger[Any]]:
    """Return the bits of numbers that are not negative, which are in the order of the numbers, NaN highest.

    NumPy partitions them in two thirds of the time, because it does not look for NaN.
    """
    return values.view(np.dtype(f"u{values.itemsize}"))


def _cells_of_highest(values: npt.NDArray[np.unsignedinteger[Any]], count: int) -> IntArray:
    """Return int64 [B, count]: where each row's `count` highest values are, counted through all rows."""
    rows, width = values.shape
    cells = np.flatnonzero(values >= np.partition(values, -count, 1)[:, -count, None])
    if len(cells) == count * rows:
        return cells.reshape(rows, count)
    columns: IntArray = np.argpartition(values, -count, 1)[:, -count:]  # several are the lowest
    columns += np.arange(rows)[:, None] * width
    return columns


class SingleLabelDistillationLoss(RowLoss):
    """The weighted sum of a hard-label loss and the divergence of the softmaxes over all classes.

    Without the teacher's logits, as in validation, it is the hard-label loss alone.
    """

    def __init__(self, hard: SoftmaxLoss, config: DistillConfig) -> None:
        super().__init__(hard.width)
        self.hard, self.config = hard, config

    def add(
        self, logits: Tensor, teacher_logits: Tensor | None, ids: Tensor, shares: Tensor, slopes: Tensor | None
    ) -> Tensor:
        """Return the loss of some images and set `slopes` to its gradient: see `RowLoss`."""
        if teacher_logits is None:
            return self.hard.add(logits, None, ids, shares, slopes)
        guide = partial(self._soft, logits, teacher_logits, shares * self.config.weight)
        return self.hard.add_guided(logits, ids, shares * self.config.hard_weight, slopes, guide)

    def _soft(
        self, logits: Tensor, teacher_logits: Tensor, shares: Tensor, start: int, stop: int, probs: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the divergence's part of the loss at a slice, and its gradient: a `Guide`."""
        return divergence(logits[:, start:stop], teacher_logits[:, start:stop], shares, self.config, probs)


class SemanticDistillationLoss(SingleLabelDistillationLoss):
    """The weighted sum of semantic softmax and, over active levels, the divergence times the teacher's confidence.

    The divergence of an image counts at every level, even where its class has no ancestor: the teacher has
    probabilities there, and its confidence says what they are worth.
    """

    def _soft(
        self, logits: Tensor, teacher_logits: Tensor, shares: Tensor, start: int, stop: int, probs: Tensor
    ) -> tuple[Tensor, Tensor]:
        teacher = teacher_logits[:, start:stop]
        wanted = torch.softmax(teacher, 1)
        weights = shares * confidence(wanted, self.config.top_share)
        return divergence(logits[:, start:stop], teacher, weights, self.config, probs, wanted)


class MultiLabelDistillationLoss(RowLoss):
    """The weighted sum of the asymmetric loss and, over all classes, the divergence of their sigmoids.

    Without the teacher's logits, as in validation, it is the asymmetric loss alone.
    """

    def __init__(self, hard: AsymmetricLoss, config: DistillConfig) -> None:
        super().__init__(hard.width)
        self.hard, self.config = hard, config

    def add(
        self, logits: Tensor, teacher_logits: Tensor | None, ids: Tensor, shares: Tensor, slopes: Tensor | None
    ) -> Tensor:
        """Return the loss of some images and set `slopes` to its gradient: see `RowLoss`."""
        if teacher_logits is None:
            return self.hard.add(logits, None, ids, shares, slopes)
        hard = self.hard.add(logits, None, ids, shares * self.config.hard_weight, slopes)
        soft, gradient = class_divergence(logits, teacher_logits, shares * self.config.weight, self.config)
        if slopes is not None:
            slopes += gradient
        return hard + soft

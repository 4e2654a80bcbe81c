"""Distillation: the student also learns the teacher's probabilities.

Semantic distillation (paper, section 3.4, eq. 3 and 4) compares them level by level, and weights each level of an
image by the teacher's confidence there. The squared error and the 5 % of the classes that make up the confidence are
the reference code's; `kl` with a temperature is Hinton's distillation. In the multi-label scheme, each class has a
probability of its own, and the divergences of the classes are summed, as its hard-label loss is.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from in21k.train.config.settings import DistillConfig
from in21k.train.losses.row_loss import RowLoss
from in21k.train.model.level_order import LevelOrder

_GROUP = 4
"""Values in a group of the search for the highest."""


def divergences(
    student: Tensor, teacher: Tensor, kind: str, temperature: float, probs: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return [B, 1] and [B, N]: the divergence of the student's softmax from the teacher's, and its gradient.

    Args:
        student: logits [B, N] of float32 or float64.
        teacher: logits [B, N] of the same type.
        kind: `squared`, the squared error summed over classes, or `kl`, the Kullback-Leibler divergence from the
            teacher's softmax to the student's times the squared temperature (arXiv 1503.02531).
        temperature: divides both logits.
        probs: [B, N]: the teacher's softmax at temperature 1, if that is known; it is changed.
    """
    if temperature != 1:
        student, teacher, probs = student / temperature, teacher / temperature, None
    if kind == "squared":
        own = torch.softmax(student, 1)
        difference = torch.sub(own, torch.softmax(teacher, 1) if probs is None else probs)
        mean = (difference * own).sum(1, keepdim=True)  # the derivative of a softmax takes the mean out
        values = (difference * difference).sum(1, keepdim=True)
        return values, own.mul_(difference.sub_(mean)).mul_(2 / temperature)
    target, log_probs = torch.log_softmax(teacher, 1), torch.log_softmax(student, 1)
    wanted = target.exp()
    values = (wanted * target.sub_(log_probs)).sum(1, keepdim=True) * temperature**2
    return values, log_probs.exp_().sub_(wanted).mul_(temperature)


def class_divergences(student: Tensor, teacher: Tensor, kind: str, temperature: float) -> tuple[Tensor, Tensor]:
    """Return [B, 1] and [B, N]: the divergence of the student's sigmoids from the teacher's, and its gradient.

    Args:
        student: logits [B, N] of float32 or float64.
        teacher: logits [B, N] of the same type.
        kind: `squared`, the squared error summed over classes, or `kl`, the sum over classes of the Kullback-Leibler
            divergence between "is one" and "is none", times the squared temperature.
        temperature: divides both logits.
    """
    student, teacher = student / temperature, teacher / temperature
    own, wanted = torch.sigmoid(student), torch.sigmoid(teacher)
    difference = own - wanted
    if kind == "squared":
        values = (difference * difference).sum(1, keepdim=True)
        return values, difference.mul_(own * torch.sigmoid(-student)).mul_(2 / temperature)
    is_one = wanted * (F.logsigmoid(teacher) - F.logsigmoid(student))
    is_none = torch.sigmoid(-teacher) * (F.logsigmoid(-teacher) - F.logsigmoid(-student))
    return (is_one + is_none).sum(1, keepdim=True) * temperature**2, difference.mul_(temperature)


def confidence(probs: Tensor, top_share: float) -> Tensor:
    """Return [B, 1], 0 to 1: the sum of the teacher's highest probabilities among N classes.

    Args:
        probs: [B, N], which sum to 1.
        top_share: share of the classes whose probabilities are summed, rounded up to whole classes.
    """
    return _sum_of_highest(probs, math.ceil(probs.shape[1] * top_share))


def _sum_of_highest(values: Tensor, count: int) -> Tensor:
    """Return [B, 1]: the sum of each row's `count` highest values.

    All of them lie in the `count` groups with the highest maxima, so that only those groups are searched.
    """
    groups = values.shape[1] // _GROUP
    if count < groups:
        grouped = values[:, : groups * _GROUP].reshape(-1, _GROUP, groups)
        best = grouped.amax(1).topk(count, 1, sorted=False).indices
        chosen = grouped.gather(2, best[:, None].expand(-1, _GROUP, -1)).flatten(1)
        values = torch.cat((chosen, values[:, groups * _GROUP :]), 1)
    return values.topk(count, 1, sorted=False).values.sum(1, keepdim=True)


class SingleLabelDistillationLoss(RowLoss):
    """The weighted sum of a hard-label loss and the divergence of one softmax over all classes.

    Without the teacher's logits, as in validation, it is the hard-label loss alone.
    """

    def __init__(self, hard: RowLoss, config: DistillConfig) -> None:
        super().__init__()
        self.hard, self.config = hard, config

    def add(
        self, logits: Tensor, teacher_logits: Tensor | None, ids: Tensor, shares: Tensor, slopes: Tensor | None
    ) -> Tensor:
        """Return the loss of some images and set `slopes` to its gradient: see `RowLoss`."""
        if teacher_logits is None:
            return self.hard.add(logits, None, ids, shares, slopes)
        hard, soft = self.config.hard_weight, self.config.weight
        loss = logits.new_zeros(())
        if hard:
            loss = self.hard.add(logits, None, ids, shares * hard, slopes)
        elif slopes is not None:
            slopes.zero_()
        return loss + self._soft(logits, teacher_logits, shares * soft, slopes)

    def _soft(self, student: Tensor, teacher: Tensor, shares: Tensor, slopes: Tensor | None) -> Tensor:
        """Return the divergence's part of the loss and add its gradient to `slopes`."""
        return self._divergence(student, teacher, shares, slopes, None)

    def _divergence(
        self, student: Tensor, teacher: Tensor, shares: Tensor, slopes: Tensor | None, probs: Tensor | None
    ) -> Tensor:
        config = self.config
        values, gradient = divergences(student, teacher, config.divergence, config.temperature, probs)
        if slopes is not None:
            slopes += gradient.mul_(shares)
        return (values * shares).sum()


class MultiLabelDistillationLoss(SingleLabelDistillationLoss):
    """The weighted sum of the asymmetric loss and, over all classes, the divergence of their sigmoids."""

    def _soft(self, student: Tensor, teacher: Tensor, shares: Tensor, slopes: Tensor | None) -> Tensor:
        config = self.config
        values, gradient = class_divergences(student, teacher, config.divergence, config.temperature)
        if slopes is not None:
            slopes += gradient.mul_(shares)
        return (values * shares).sum()


class SemanticDistillationLoss(SingleLabelDistillationLoss):
    """The weighted sum of semantic softmax and, over active levels, the divergence times the teacher's confidence.

    The divergence of an image counts at every level, even where its class has no ancestor: the teacher has
    probabilities there, and its confidence says what they are worth.
    """

    def __init__(self, hard: RowLoss, order: LevelOrder, config: DistillConfig) -> None:
        super().__init__(hard, config)
        self.bounds = tuple(order.bounds[level] for level in order.active)

    def _soft(self, student: Tensor, teacher: Tensor, shares: Tensor, slopes: Tensor | None) -> Tensor:
        total = student.new_zeros(())
        for start, stop in self.bounds:
            level, own = teacher[:, start:stop], None if slopes is None else slopes[:, start:stop]
            probs = torch.softmax(level, 1)
            weights = shares * confidence(probs, self.config.top_share)
            total = total + self._divergence(student[:, start:stop], level, weights, own, probs)
        return total

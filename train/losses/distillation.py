"""Distillation: a student that also follows a teacher's probabilities (paper, section 3.2.4).

In the semantic one, they are compared level by level, each image's levels weighted by how sure the teacher is there.
"""

import math

import torch
from torch import Tensor, nn

from in21k.train.config.settings import DistillConfig
from in21k.train.model.level_order import LevelOrder


def divergences(student: Tensor, teacher: Tensor, kind: str, temperature: float) -> Tensor:
    """Return [B]: how far the student's softmax is from the teacher's.

    Args:
        student: logits [B, N] of float32 or float64.
        teacher: logits [B, N] of the same type.
        kind: `squared`, the sum over classes of the squared difference, or `kl`, Kullback-Leibler from the teacher's
            to the student's, times the squared temperature (arXiv 1503.02531).
        temperature: both logits are divided by it.
    """
    if kind == "squared":
        difference = torch.softmax(student / temperature, 1) - torch.softmax(teacher / temperature, 1)
        return (difference * difference).sum(1)
    target = torch.log_softmax(teacher / temperature, 1)
    log_probs = torch.log_softmax(student / temperature, 1)
    return (target.exp() * (target - log_probs)).sum(1) * temperature**2


def confidence(teacher: Tensor, top_share: float) -> Tensor:
    """Return [B], 0 to 1: the sum of a teacher's highest probabilities among N classes.

    Args:
        teacher: logits [B, N].
        top_share: share of the classes whose probabilities are summed, rounded up to whole classes.
    """
    count = math.ceil(teacher.shape[1] * top_share)
    return torch.softmax(teacher, 1).topk(count, 1, sorted=False).values.sum(1)


class SingleLabelDistillationLoss(nn.Module):
    """The weighted sum of a hard-label loss and the divergence of one softmax over all classes."""

    def __init__(self, hard: nn.Module, config: DistillConfig) -> None:
        super().__init__()
        self.hard, self.config = hard, config

    def forward(self, logits: Tensor, class_indices: Tensor, valid: Tensor, teacher: Tensor | None = None) -> Tensor:
        """Return the loss, a scalar of float32 (float64 for float64 logits).

        Args:
            logits: the student's, [B, C] in level order, any float type.
            class_indices: int64 [B], each a class, also where not valid.
            valid: bool [B].
            teacher: the teacher's logits, [B, C] in level order; None gives the hard-label loss alone.
        """
        hard: Tensor
        if teacher is None:
            hard = self.hard(logits, class_indices, valid)
            return hard
        wide = torch.promote_types(logits.dtype, torch.float32)
        far = self._divergence(logits.to(wide), teacher.to(wide))
        soft = torch.where(valid, far, 0).sum() * (self.config.weight / len(logits))
        if not self.config.hard_weight:
            return soft
        hard = self.hard(logits, class_indices, valid)
        return soft + self.config.hard_weight * hard

    def _divergence(self, student: Tensor, teacher: Tensor) -> Tensor:
        return divergences(student, teacher, self.config.divergence, self.config.temperature)


class SemanticDistillationLoss(SingleLabelDistillationLoss):
    """The weighted sum of semantic softmax and, over active levels, the divergence times the teacher's confidence.

    All images count at all levels, also those without an ancestor there: the teacher has an opinion.
    """

    def __init__(self, hard: nn.Module, order: LevelOrder, config: DistillConfig) -> None:
        super().__init__(hard, config)
        self.bounds = tuple(order.bounds[level] for level in order.active)

    def _divergence(self, student: Tensor, teacher: Tensor) -> Tensor:
        total = student.new_zeros(len(student))
        for start, stop in self.bounds:
            guide = teacher[:, start:stop]
            far = divergences(student[:, start:stop], guide, self.config.divergence, self.config.temperature)
            total = total + confidence(guide, self.config.top_share) * far
        return total

"""Distillation: the student also learns the teacher's probabilities.

Semantic distillation (paper, section 3.4, eq. 3 and 4) compares them level by level, and weights each level of an
image by the teacher's confidence there. The squared error and the 5 % of the classes that make up the confidence are
the reference code's; `kl` with a temperature is Hinton's distillation.
"""

import math

import torch
from torch import Tensor, nn

from in21k.train.config.settings import DistillConfig
from in21k.train.model.level_order import LevelOrder


def divergences(student: Tensor, teacher: Tensor, kind: str, temperature: float) -> Tensor:
    """Return [B]: the divergence of the student's softmax from the teacher's.

    Args:
        student: logits [B, N] of float32 or float64.
        teacher: logits [B, N] of the same type.
        kind: `squared`, the squared error summed over classes, or `kl`, the Kullback-Leibler divergence from the
            teacher's softmax to the student's times the squared temperature (arXiv 1503.02531).
        temperature: divides both logits.
    """
    if kind == "squared":
        difference = torch.softmax(student / temperature, 1) - torch.softmax(teacher / temperature, 1)
        return (difference * difference).sum(1)
    target = torch.log_softmax(teacher / temperature, 1)
    log_probs = torch.log_softmax(student / temperature, 1)
    return (target.exp() * (target - log_probs)).sum(1) * temperature**2


def confidence(teacher: Tensor, top_share: float) -> Tensor:
    """Return [B], 0 to 1: the sum of the teacher's highest probabilities among N classes.

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

    def forward(
        self, logits: Tensor, class_indices: Tensor, valid: Tensor, teacher_logits: Tensor | None = None
    ) -> Tensor:
        """Return the loss, a float32 scalar (float64 for float64 logits).

        Args:
            logits: the student's, [B, C] in level order, any float type.
            class_indices: int64 [B]; class indices also where not valid.
            valid: bool [B].
            teacher_logits: [B, C] in level order; without them, the hard-label loss alone is returned.
        """
        hard: Tensor
        if teacher_logits is None:
            hard = self.hard(logits, class_indices, valid)
            return hard
        wide = torch.promote_types(logits.dtype, torch.float32)
        divergence = self._divergence(logits.to(wide), teacher_logits.to(wide))
        soft = torch.where(valid, divergence, 0).sum() * (self.config.weight / len(logits))
        if not self.config.hard_weight:
            return soft
        hard = self.hard(logits, class_indices, valid)
        return soft + self.config.hard_weight * hard

    def _divergence(self, student: Tensor, teacher: Tensor) -> Tensor:
        return divergences(student, teacher, self.config.divergence, self.config.temperature)


class SemanticDistillationLoss(SingleLabelDistillationLoss):
    """The weighted sum of semantic softmax and, over active levels, the divergence times the teacher's confidence.

    The divergence of an image counts at every level, even where its class has no ancestor: the teacher has
    probabilities there, and its confidence says what they are worth.
    """

    def __init__(self, hard: nn.Module, order: LevelOrder, config: DistillConfig) -> None:
        super().__init__(hard, config)
        self.bounds = tuple(order.bounds[level] for level in order.active)

    def _divergence(self, student: Tensor, teacher: Tensor) -> Tensor:
        total = student.new_zeros(len(student))
        for start, stop in self.bounds:
            at_level = teacher[:, start:stop]
            divergence = divergences(student[:, start:stop], at_level, self.config.divergence, self.config.temperature)
            total = total + confidence(at_level, self.config.top_share) * divergence
        return total

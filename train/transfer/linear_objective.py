"""What a linear classifier is fitted by: its loss on all images, and the gradient, summed block by block in float64."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from in21k.train.transfer.row_blocks import RowBlocks, Standardization, compute_type


@dataclass(frozen=True, eq=False)
class Labels:
    """The classes of N images, out of C."""

    ids: Tensor
    """int64 [N]: class indices, or rows of the label sets."""
    classes: int
    """C."""
    sets: Tensor | None = None
    """int64 [M, K]: class indices, padded with -1, where images have any number of classes; None where each has one."""

    def differentiate(self, logits: Tensor, images: Tensor) -> Tensor:
        """Return the loss of a block of images, summed in float64; the logits turn into its gradient.

        It is cross entropy, or, where images have any number of classes, the binary one summed over the classes.

        Args:
            logits: [n, C], overwritten.
            images: int64 [n], their numbers among the N.
        """
        if self.sets is None:
            return _softmax(logits, self.ids[images][:, None])
        sets = self.sets[self.ids[images]]
        padded = logits.new_zeros(len(logits), self.classes + 1)  # one more column, for the padding
        return _sigmoids(logits, padded.scatter_(1, torch.where(sets >= 0, sets, self.classes), 1)[:, :-1])


@dataclass(frozen=True, eq=False)
class Objective:
    """The mean loss per image of a classifier, plus its L2 penalty, which leaves the bias out."""

    blocks: RowBlocks
    labels: Labels
    standardize: Standardization
    strength: float
    """The penalty is strength / 2 times the sum of the squared weights."""

    def __call__(self, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the objective, its gradient by the weight, and that by the bias, all float64.

        Args:
            weight: float64 [C, D], for standardized features.
            bias: float64 [C].
        """
        dtype, rows = compute_type(self.blocks.features), min(self.blocks.rows, len(self.blocks))
        factors, offsets = weight.to(dtype), bias.to(dtype)
        loss, by_weight, by_bias = bias.new_zeros(()), torch.zeros_like(weight), torch.zeros_like(bias)
        # all blocks share their memory: malloc would keep pieces of what each of them takes and gives back
        of_inputs, of_logits = factors.new_empty(rows, factors.shape[1]), factors.new_empty(rows, len(factors))
        for values, images in self.blocks:
            inputs = self.standardize(values, of_inputs[: len(values)])
            logits = torch.addmm(offsets, inputs, factors.T, out=of_logits[: len(values)])
            loss += self.labels.differentiate(logits, images)
            by_weight += logits.T @ inputs
            by_bias += logits.sum(0, dtype=torch.float64)
        count = len(self.blocks)
        penalty = self.strength / 2 * weight.square().sum()
        return loss / count + penalty, by_weight.div_(count).add_(weight, alpha=self.strength), by_bias.div_(count)


def _softmax(logits: Tensor, classes: Tensor) -> Tensor:
    logits.sub_(logits.amax(1, keepdim=True))
    wanted = logits.gather(1, classes).double()
    sums = logits.exp_().sum(1, keepdim=True, dtype=torch.float64)
    logits.div_(sums)
    logits.scatter_(1, classes, logits.gather(1, classes) - 1)
    return (sums.log() - wanted).sum()


def _sigmoids(logits: Tensor, targets: Tensor) -> Tensor:
    losses = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    logits.sigmoid_().sub_(targets)
    return losses.sum(dtype=torch.float64)

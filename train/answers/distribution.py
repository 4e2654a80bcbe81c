"""The probability that an image shows a class or anything below it, for every class of the hierarchy.

Under each scheme it comes from what the scheme learns, and no class is more probable than the one above it:

- Semantic schemes: of the children of a class, each has its share of the level's softmax, and the probability is the
  product of the shares down the path. So children share their parent's probability among them. The product of the
  levels' softmaxes themselves loses on the way what they give to the children of other classes.
- Single label: one softmax goes over all classes, inner ones too, so the probability is the sum over the subtree.
- Multi label: the minimum of the sigmoids down the path. Each is of "the image shows this class or one below it", so
  the minimum changes nothing where they agree with the tree, and never makes a class more probable.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from in21k.train.losses.schemes import MULTI_LABEL, SINGLE_LABEL
from in21k.train.model.level_order import LevelOrder
from in21k.train.model.level_tree import LevelTree


class LogProbabilities(NamedTuple):
    """Logarithms of probabilities of C classes, float64 [B, C] in level order."""

    subtree: Tensor
    """Of each class or anything below it."""
    own: Tensor | None
    """Of each class and nothing below it; None where the scheme has no such probability."""


class TreeDistribution(nn.Module):
    """Turns logits into probabilities over the hierarchy.

    They are computed in float64: sums on a GPU come in any order, and so the order decides nothing that is counted.
    """

    def __init__(self, order: LevelOrder, scheme: str) -> None:
        """Prepare for logits of a scheme.

        Args:
            order: of the C classes.
            scheme: of the loss that the model was trained with.
        """
        super().__init__()
        self.tree, self._scheme = LevelTree(order), scheme

    def forward(self, logits: Tensor) -> LogProbabilities:
        """Return the probabilities for logits [B, C] in level order."""
        scores = logits.double()
        if self._scheme in MULTI_LABEL:
            return LogProbabilities(self.tree.down(F.logsigmoid(scores), minimum=True), None)
        if self._scheme not in SINGLE_LABEL:
            return LogProbabilities(self.tree.down(self.tree.log_shares(scores)), None)
        sums = self.tree.log_sums(scores)
        (start, stop), *_ = self.tree.bounds
        total = torch.logsumexp(sums[:, start:stop], 1, keepdim=True)
        return LogProbabilities(sums - total, scores - total)

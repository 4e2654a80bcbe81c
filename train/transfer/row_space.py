"""The space in which a few images' features lie: a linear classifier of it has fewer weights, and the same minimum.

A classifier's L2 penalty keeps its weights in the span of the (standardized) features that it is fitted to, so that of
N images with D > N features each, N coordinates say all. In an orthonormal basis of that span, the logits and the
penalty are what they are in D dimensions, and so is the loss. The steps of L-BFGS, on vectors of C N values instead of
C D, and the products are that much smaller.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from in21k.train.transfer.linear_objective import Labels, Objective
from in21k.train.transfer.row_blocks import RowBlocks, Standardization

_FEWER = 2
"""Below this many features per image, the basis costs more than it saves."""


@dataclass(frozen=True, eq=False)
class RowSpace:
    """An orthonormal basis of the span of N images' standardized features, and their coordinates in it."""

    basis: Tensor
    """float64 [D, N]."""
    coordinates: Tensor
    """float64 [N, N]."""
    images: Tensor
    """int64 [N]: their numbers among all images, of which some may be left out."""

    def objective(self, labels: Labels, strength: float) -> Objective:
        """Return what a classifier of the coordinates is fitted by."""
        count, device = len(self.images), self.coordinates.device
        as_is = Standardization(self.coordinates.new_zeros(count), self.coordinates.new_ones(count))
        own = Labels(labels.ids[self.images], labels.classes, labels.sets)
        return Objective(RowBlocks(self.coordinates, device, count), own, as_is, strength)


def row_space(blocks: RowBlocks, standardize: Standardization) -> RowSpace | None:
    """Return the space of the images' features; None where they are too many for it to be of use.

    Args:
        blocks: the images; the space is of use only where one block holds them all.
        standardize: of their features.
    """
    size = blocks.features.shape[1]
    if len(blocks) * _FEWER > size or len(blocks.features) > blocks.rows:
        return None
    ((values, images),) = blocks
    inputs = standardize(values, standardize.mean.new_empty(values.shape)).double()
    basis, coordinates = torch.linalg.qr(inputs.T)
    return RowSpace(basis, coordinates.T.contiguous(), images)

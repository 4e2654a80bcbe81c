"""Mixup (arXiv 1710.09412) and CutMix (arXiv 1905.04899): two images of a batch become two mixtures of both.

Partners are the images at positions 2k and 2k + 1 of an epoch's order, and share their random numbers, as in the mode
`pair` of timm. So a mixture depends on no rank and no micro-batch, as long as no pair is parted between ranks.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from in21k.train.arrays import IntArray
from in21k.train.images.boxes import Box
from in21k.train.images.hashes import fractions, hashed
from in21k.train.images.ops_gpu import on_device
from in21k.train.images.random_ops_gpu import inside_boxes

_STREAM = 5
_WHOLE = 1 << 16
"""Shares of images are whole numbers of 1/65,536, so that mixtures are exact on any device."""


@dataclass(frozen=True)
class Mixing:
    """Which pairs of training images are mixed, and how."""

    seed: int
    mixup: float
    """Mixup's α: the share of the one image is Beta(α, α), that of the other is the rest; 0 for no mixup."""
    cutmix: float
    """CutMix's α: likewise, of the image's area; 0 for no CutMix."""
    probability: float = 1.0
    """Of being mixed, for each pair."""
    cutmix_share: float = 0.5
    """Of the pairs that are mixed, those that are by CutMix where both are on."""


@dataclass(frozen=True, eq=False)
class MixDraws:
    """The random numbers of P pairs."""

    is_mixed: npt.NDArray[np.bool_]
    """bool [P]."""
    is_cut: npt.NDArray[np.bool_]
    """bool [P]: whether a mixed pair is mixed by CutMix."""
    shares: npt.NDArray[np.float64]
    """float64 [P], 0 to 1: what a mixture has of the image in whose place it is, before CutMix's box is clipped."""
    centers: npt.NDArray[np.float64]
    """float64 [P, 2]: y and x of the box's center, as shares of the sides."""

    def boxes(self, height: int, width: int) -> IntArray:
        """Return int64 [P, 4]: the box of each pair, top, bottom, left and right; empty without CutMix."""
        cuts = (self.is_mixed & self.is_cut).tolist()
        pairs = zip(cuts, self.shares.tolist(), self.centers.tolist(), strict=True)
        found = [_box(share, center, height, width) if cut else (0, 0, 0, 0) for cut, share, center in pairs]
        return np.array(found, np.int64).reshape(-1, 4)


def draw_mixing(mixing: Mixing, epoch: int, start: int, count: int) -> MixDraws:
    """Return the random numbers of the pairs at `count` positions of an epoch's order, from `start` on; both even."""
    drawn = fractions(hashed(mixing.seed, epoch, start // 2, count // 2, 6, _STREAM))
    is_cut = drawn[:, 1] < (mixing.cutmix_share if mixing.mixup else 1) if mixing.cutmix else np.zeros(len(drawn), bool)
    alphas = np.where(is_cut, mixing.cutmix, mixing.mixup)
    return MixDraws(drawn[:, 0] < mixing.probability, is_cut, _beta(alphas, drawn[:, 2], drawn[:, 3]), drawn[:, 4:])


def _beta(
    alphas: npt.NDArray[np.float64], one: npt.NDArray[np.float64], other: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return values of Beta(α, α), made of uniform ones: Bailey's polar method for Student's t with 2α degrees.

    With t of that distribution, 1/2 + t / (2 √(2α + t²)) is Beta(α, α).
    """
    with np.errstate(over="ignore", divide="ignore"):
        radius = (1 - one) ** (-1 / alphas) - 1  # t²/2α is this times the square of the cosine
        cosine = np.cos(2 * np.pi * other)
        values: npt.NDArray[np.float64] = 0.5 + 0.5 * np.sign(cosine) / np.sqrt(1 + 1 / (radius * cosine**2))
    return values


def _box(share: float, center: list[float], height: int, width: int) -> Box:
    """Return CutMix's box, whose sides are √(1 - share) of the image's, clipped to the image, as timm rounds them."""
    y, x = int(center[0] * height), int(center[1] * width)
    side = (1 - share) ** 0.5
    tall, wide = int(height * side), int(width * side)
    return (
        max(y - tall // 2, 0),
        min(y + (tall + 1) // 2, height),
        max(x - wide // 2, 0),
        min(x + (wide + 1) // 2, width),
    )


class Mixed(NamedTuple):
    """A batch whose pairs are mixed."""

    images: torch.Tensor
    """uint8 [B, 3, H, W]."""
    shares: torch.Tensor
    """float32 [B], 0 to 1: what each image has of the one that was in its place; the rest is its partner's."""


def mix_batch(images: torch.Tensor, valid: torch.Tensor, draws: MixDraws) -> Mixed:
    """Return a batch with its pairs mixed, both of which have to be valid; nothing waits for the device.

    Args:
        images: uint8 [B, 3, H, W] on any device, B even; not changed.
        valid: bool [B].
        draws: the random numbers of the B/2 pairs.
    """
    boxes = draws.boxes(*images.shape[2:])
    areas = (boxes[:, 1] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 2])
    blended = np.where(draws.is_mixed & ~draws.is_cut, np.rint(draws.shares * _WHOLE), _WHOLE).astype(np.int32)
    shares = np.where(areas > 0, 1 - areas / (images.shape[2] * images.shape[3]), blended / _WHOLE)
    whole = on_device(shares.astype(np.float32), images.device).repeat_interleave(2)
    partners, both = partners_of(images), valid & partners_of(valid)
    parts = on_device(blended.repeat(2), images.device)[:, None, None, None]
    mixture = (images * parts + partners * (_WHOLE - parts) + _WHOLE // 2 >> 16).to(torch.uint8)
    mixture = torch.where(inside_boxes(boxes.repeat(2, 0), images), partners, mixture)
    mixture = torch.where(both[:, None, None, None], mixture, images)
    return Mixed(mixture.contiguous(memory_format=torch.channels_last), torch.where(both, whole, 1))


def partners_of(rows: torch.Tensor) -> torch.Tensor:
    """Return [B, …] with the two rows of each pair exchanged."""
    return rows.view(-1, 2, *rows.shape[1:]).flip(1).reshape(rows.shape)

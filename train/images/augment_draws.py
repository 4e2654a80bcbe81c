"""The random numbers of augmentation, and the strengths of RandAugment's operations."""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from in21k.train.arrays import IntArray
from in21k.train.images.erasing import ErasingDraws, draw_erasing
from in21k.train.images.hashes import Bits, below, fractions, hashed

OPS = (
    "Identity",
    "ShearX",
    "ShearY",
    "TranslateX",
    "TranslateY",
    "Rotate",
    "Brightness",
    "Color",
    "Contrast",
    "Sharpness",
    "Posterize",
    "Solarize",
    "AutoContrast",
    "Equalize",
)
"""RandAugment's operations (arXiv:1909.13719), as in torchvision."""

RANDOM_OPS = (
    "Identity",
    "Invert",
    "Cutout",
    "Sharpness",
    "AutoContrast",
    "Posterize",
    "ShearX",
    "TranslateX",
    "TranslateY",
    "ShearY",
    "Rotate",
    "Equalize",
    "Contrast",
    "Color",
    "Solarize",
    "Brightness",
)
"""The operations of the package `randaugment`, which the authors use, after that of a step that does nothing."""

TORCHVISION, RANDOM = "torchvision", "randaugment"
"""The policies, by the packages that have them."""

MAGNITUDES = 31
_SIGNED = frozenset(OPS[1:10])

_CUTOUT = 5
"""Random numbers per image before those of its operations: Cutout's center y and x, and three levels of color."""
_RANDOM_OP = 6
"""Random numbers per operation of the random policy: whether it is done, which, its strength, its sign, and a place."""
RANDOM_MAGNITUDES = 9
"""Strengths of the random policy, from 1 on."""


@dataclass(frozen=True)
class Augmentation:
    """The augmentation of training images: a flip, Cutout, RandAugment, then random erasing."""

    seed: int
    cutout: float
    """Side of Cutout's square as a share of the image's side; 0 for no Cutout."""
    ops: int
    """RandAugment operations per image; 0 for none."""
    magnitude: int
    """Strength of RandAugment in torchvision's policy, 0 to 30."""
    policy: str = TORCHVISION
    """`torchvision`, in which every operation is done, at one strength; or `randaugment`, in which each is done with
    probability 0.5 and at a random strength, and what comes from outside the image is gray."""
    inclusive: bool = False
    """Whether Cutout's square includes its far edges, as one that Pillow draws: 113 pixels of 224, not 112."""

    flip: float = 0.0
    """Probability of mirroring an image, left for right, before Cutout."""
    erasing: float = 0.0
    """Probability of random erasing, after all else."""

    @property
    def names(self) -> tuple[str, ...]:
        """The operations of the policy, which draws refer to."""
        return OPS if self.policy == TORCHVISION else RANDOM_OPS


@dataclass(frozen=True, eq=False)
class Draws:
    """The random numbers of B images."""

    flips: npt.NDArray[np.bool_]
    """bool [B]: whether an image is mirrored."""
    center: npt.NDArray[np.float64]
    """float64 [B, 2]: Cutout's center, y and x, as shares of the image's sides."""
    color: npt.NDArray[np.uint8]
    """uint8 [B, 3]: Cutout's color."""
    ops: IntArray
    """int64 [B, n]: operations, as indices into the names of the policy."""
    signs: IntArray
    """int64 [B, n]: 1 or -1."""
    magnitudes: IntArray
    """int64 [B, n]: strengths, 0 to 30 or, in the random policy, 1 to 9."""
    places: npt.NDArray[np.float64]
    """float64 [B, n, 2]: where the random policy's own Cutout has its center, y and x, as shares of the sides."""
    erasing: ErasingDraws | None = None
    """None where nothing is erased."""

    @property
    def of_ops(self) -> tuple[npt.NDArray[Any], ...]:
        """Operations, strengths, signs and places."""
        return self.ops, self.magnitudes, self.signs, self.places


def draw(augmentation: Augmentation, epoch: int, start: int, count: int) -> Draws:
    """Return the random numbers of the images at `count` positions of an epoch's order, from `start` on."""
    per_op = _RANDOM_OP if augmentation.policy == RANDOM else 2
    numbers = hashed(augmentation.seed, epoch, start, count, _CUTOUT + per_op * augmentation.ops)
    each = numbers[:, _CUTOUT:].reshape(count, augmentation.ops, per_op)
    ops = _draw_randomly(each) if augmentation.policy == RANDOM else _draw_ops(each, augmentation.magnitude)
    flips = fractions(hashed(augmentation.seed, epoch, start, count, 1, stream=2)[:, 0]) < augmentation.flip
    colors = (numbers[:, 2:_CUTOUT] >> np.uint64(56)).astype(np.uint8)
    share, batch = augmentation.erasing, (augmentation.seed, epoch, start, count)
    erasing = draw_erasing(share, *batch) if share else None
    return Draws(flips, fractions(numbers[:, :2]), colors, *ops, erasing)


_Ops = tuple[IntArray, IntArray, IntArray, npt.NDArray[np.float64]]


def _draw_ops(each: Bits, magnitude: int) -> _Ops:
    """Return operations, signs, strengths and places of torchvision's policy, of uint64 [B, n, 2]."""
    shape = each.shape[:2]
    strengths, nowhere = np.full(shape, magnitude, np.int64), np.zeros((*shape, 2))
    return below(each[..., 0], len(OPS)), _signs(each[..., 1]), strengths, nowhere


def _draw_randomly(each: Bits) -> _Ops:
    """Return the same of the random policy, of uint64 [B, n, 6]."""
    chosen = below(each[..., 0], 2) * (1 + below(each[..., 1], len(RANDOM_OPS) - 1))
    return chosen, _signs(each[..., 3]), 1 + below(each[..., 2], RANDOM_MAGNITUDES), fractions(each[..., 4:])


def _signs(numbers: Bits) -> IntArray:
    signs: IntArray = 1 - 2 * (numbers >> np.uint64(63)).astype(np.int64)
    return signs


def cutout_box(
    center: npt.NDArray[np.float64], factor: float, height: int, width: int, *, inclusive: bool = False
) -> tuple[int, int, int, int]:
    """Return top, bottom, left and right of a Cutout square around any pixel, clipped to the image."""
    y, x = int(center[0] * height), int(center[1] * width)
    half_y, half_x = int(factor * height + 0.5) // 2, int(factor * width + 0.5) // 2
    edge = int(inclusive)
    return max(y - half_y, 0), min(y + half_y + edge, height), max(x - half_x, 0), min(x + half_x + edge, width)


def strength(name: str, magnitude: int, sign: int, height: int, width: int) -> float:
    """Return an operation's strength at a magnitude, as in torchvision's RandAugment with 31 magnitudes."""
    return _strengths(magnitude, height, width)[name] * (sign if name in _SIGNED else 1)


@lru_cache(maxsize=64)
def _strengths(magnitude: int, height: int, width: int) -> dict[str, float]:
    share = magnitude / (MAGNITUDES - 1)
    enhance = 0.9 * share
    return {
        **dict.fromkeys(OPS, 0.0),
        "ShearX": 0.3 * share,
        "ShearY": 0.3 * share,
        "TranslateX": float(int(150.0 / 331.0 * width * share)),
        "TranslateY": float(int(150.0 / 331.0 * height * share)),
        "Rotate": 30.0 * share,
        "Brightness": enhance,
        "Color": enhance,
        "Contrast": enhance,
        "Sharpness": enhance,
        "Posterize": float(8 - round(magnitude / ((MAGNITUDES - 1) / 4))),
        "Solarize": 255.0 * (1 - share),
    }


def random_strength(name: str, magnitude: int, sign: int) -> float:
    """Return an operation's strength in the random policy, as the package `randaugment` has it for 1 to 9.

    Shears and translations are signed shares of a pixel per pixel and of the image's side, rotations are degrees in one
    direction alone, and Cutout's is the side of its square in pixels. What has no strength gets 0.
    """
    share = magnitude / RANDOM_MAGNITUDES
    if name.startswith(("Shear", "Translate")):
        return sign * share * (0.3 if name.startswith("Shear") else 150 / 331)
    if name in ("Brightness", "Color", "Contrast", "Sharpness"):
        return sign * 0.9 * share
    others = {"Rotate": 30 * share, "Posterize": round(8 - 4 * share), "Solarize": 256 * (1 - share)}
    return float(others.get(name, round(20 * share) if name == "Cutout" else 0.0))


def shear_matrix(along_x: float, along_y: float) -> tuple[float, float, float, float, float, float]:
    """Return the matrix of a shear about the upper left corner, for pixel corners."""
    # by way of degrees, as in torchvision
    x, y = math.radians(math.degrees(math.atan(along_x))), math.radians(math.degrees(math.atan(along_y)))
    a, b = math.cos(-y) / math.cos(y), -math.cos(-y) * math.tan(x) / math.cos(y) - math.sin(0.0)
    c, d = math.sin(-y) / math.cos(y), -math.sin(-y) * math.tan(x) / math.cos(y) + math.cos(0.0)
    return d, -b, 0.0, -c, a, 0.0

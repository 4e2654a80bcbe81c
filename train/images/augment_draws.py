"""The random numbers of augmentation, and the strengths of RandAugment's operations.

Every number is a hash of (seed, epoch, the image's position in the epoch's order), so an image looks the same whichever
rank, loader process or device augments it, and after a resume, too.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from in21k.train.arrays import IntArray

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
CROP = 2
"""Random numbers per image for its crop: y and x."""


@dataclass(frozen=True)
class Augmentation:
    """The augmentation of training images: a flip, Cutout, then RandAugment."""

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

    @property
    def of_ops(self) -> tuple[npt.NDArray[Any], ...]:
        """Operations, strengths, signs and places."""
        return self.ops, self.magnitudes, self.signs, self.places


def draw(augmentation: Augmentation, epoch: int, start: int, count: int) -> Draws:
    """Return the random numbers of the images at `count` positions of an epoch's order, from `start` on."""
    per_op = _RANDOM_OP if augmentation.policy == RANDOM else 2
    numbers = _hashed(augmentation.seed, epoch, start, count, _CUTOUT + per_op * augmentation.ops)
    each = numbers[:, _CUTOUT:].reshape(count, augmentation.ops, per_op)
    ops = _draw_randomly(each) if augmentation.policy == RANDOM else _draw_ops(each, augmentation.magnitude)
    flips = fractions(_hashed(augmentation.seed, epoch, start, count, 1, stream=2)[:, 0]) < augmentation.flip
    return Draws(flips, fractions(numbers[:, :2]), (numbers[:, 2:_CUTOUT] >> np.uint64(56)).astype(np.uint8), *ops)


_Ops = tuple[IntArray, IntArray, IntArray, npt.NDArray[np.float64]]


def _draw_ops(each: npt.NDArray[np.uint64], magnitude: int) -> _Ops:
    """Return operations, signs, strengths and places of torchvision's policy, of uint64 [B, n, 2]."""
    shape = each.shape[:2]
    strengths, nowhere = np.full(shape, magnitude, np.int64), np.zeros((*shape, 2))
    return _below(each[..., 0], len(OPS)), _signs(each[..., 1]), strengths, nowhere


def _draw_randomly(each: npt.NDArray[np.uint64]) -> _Ops:
    """Return the same of the random policy, of uint64 [B, n, 6]."""
    chosen = _below(each[..., 0], 2) * (1 + _below(each[..., 1], len(RANDOM_OPS) - 1))
    return chosen, _signs(each[..., 3]), 1 + _below(each[..., 2], RANDOM_MAGNITUDES), fractions(each[..., 4:])


def _below(numbers: npt.NDArray[np.uint64], count: int) -> IntArray:
    """Return whole numbers from 0 to count - 1, made of random 64-bit ones."""
    return ((numbers >> np.uint64(32)) * np.uint64(count) >> np.uint64(32)).astype(np.int64)


def _signs(numbers: npt.NDArray[np.uint64]) -> IntArray:
    signs: IntArray = 1 - 2 * (numbers >> np.uint64(63)).astype(np.int64)
    return signs


def crop_offsets(seed: int, epoch: int, start: int, count: int) -> npt.NDArray[np.float64]:
    """Return float64 [count, 2]: where each image is cropped, y and x, as shares of the room to move."""
    return fractions(_hashed(seed, epoch, start, count, CROP, stream=1))


def fractions(numbers: npt.NDArray[np.uint64]) -> npt.NDArray[np.float64]:
    """Return numbers from 0 to 1, exclusive, made of random 64-bit ones."""
    return (numbers >> np.uint64(11)).astype(np.float64) / 2.0**53


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


def _hashed(seed: int, epoch: int, start: int, count: int, draws: int, stream: int = 0) -> npt.NDArray[np.uint64]:
    """Return uint64 [count, draws]: random bits, SplitMix64's mix of position and draw."""
    words = np.random.SeedSequence([seed, epoch, stream]).generate_state(2, np.uint64)
    positions = np.arange(start, start + count, dtype=np.uint64)[:, None] * np.uint64(1 << 10)
    mixed = _mix(positions + np.arange(draws, dtype=np.uint64) + words[0])
    return _mix(mixed ^ words[1])


def _mix(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    values = values * np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))

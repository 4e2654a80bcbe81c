"""The paper's augmentation: Cutout, then RandAugment, on images of 0 to 255.

Each image's randomness comes from a seed of its own, made of the run's seed, the epoch and the image's position in the
epoch. So an image looks the same whatever process, worker or GPU count handles it, and also after a resume.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torchvision.transforms import RandAugment

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Augmentation:
    """What is done to a training image."""

    seed: int
    cutout: float
    """Side of the square over the image's; 0 for none."""
    ops: int
    """RandAugment's operations; 0 for none."""
    magnitude: int
    """RandAugment's strength, 0 to 30."""

    def apply(self, image: Pixels, epoch: int, position: int) -> None:
        """Augment an image in place.

        Args:
            image: uint8 [H, W, 3].
            epoch: of the run.
            position: of the image in the epoch.
        """
        random = np.random.Generator(np.random.PCG64(np.random.SeedSequence([self.seed, epoch, position])))
        if self.cutout:
            cut_out(image, self.cutout, random)
        if self.ops:
            torch.default_generator.manual_seed(int(random.integers(2**63)))
            image[:] = np.asarray(_rand_augment(self.ops, self.magnitude)(Image.fromarray(image)))


class KeepsTorchRandomness:
    """A context that leaves torch's global random state as it found it."""

    def __enter__(self) -> None:
        self._state = torch.default_generator.get_state()

    def __exit__(self, *_: object) -> None:
        torch.default_generator.set_state(self._state)


def cut_out(image: Pixels, factor: float, random: np.random.Generator) -> None:
    """Fill a square of one random colour in place; its centre is any pixel, and what lies outside the image is cut off.

    Args:
        image: uint8 [H, W, 3].
        factor: sides of the rectangle over those of the image.
        random: gives the centre and the colour.
    """
    height, width = image.shape[:2]
    centre_y, centre_x = random.integers(height), random.integers(width)
    half_y, half_x = round(factor * height) // 2, round(factor * width) // 2
    rows = slice(max(centre_y - half_y, 0), centre_y + half_y)
    columns = slice(max(centre_x - half_x, 0), centre_x + half_x)
    image[rows, columns] = random.integers(0, 256, 3)


@cache
def _rand_augment(ops: int, magnitude: int) -> RandAugment:
    return RandAugment(ops, magnitude)

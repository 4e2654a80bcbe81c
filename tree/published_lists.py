"""The class lists of the two published ImageNet-21K-P releases, by name, in the order of class index that timm uses."""

from enum import StrEnum
from functools import cache
from importlib import resources


class PublishedList(StrEnum):
    """A published release, named as on the command line."""

    FALL11 = "fall11-p"
    """The 11,221 classes kept of the release of autumn 2011 (timm's `imagenet21k_miil_synsets.txt`)."""
    WINTER21 = "winter21-p"
    """The 10,450 classes kept of the release of winter 2021 (timm's `imagenet21k_miil_w21_synsets.txt`)."""


@cache
def published_class_list(release: PublishedList) -> tuple[str, ...]:
    """Return the wnids of a published release in order of class index."""
    file = resources.files("in21k.tree.data").joinpath(f"{release.value}.csv")
    return tuple(file.read_text(encoding="ascii").split()[1:])  # below the header

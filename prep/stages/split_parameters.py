"""What users of `split` can choose."""

from dataclasses import dataclass
from enum import StrEnum

from in21k.prep.errors import PrepError


class Order(StrEnum):
    """How images are ranked within their class; the first ones become val."""

    NAME = "name"
    """By byte order of file names, as in the published split."""
    HASH = "hash"
    """By a hash keyed with the seed: unbiased even if the names have an order of their own."""


@dataclass(frozen=True)
class SplitParameters:
    """The user's choices for `split`."""

    val_per_class: int = 50
    """Number of val images of each class; 50 in the paper (section 2.1)."""
    order: Order = Order.NAME
    seed: int = 0
    """Seed of the global shuffle, and of the order by hash."""

    def __post_init__(self) -> None:
        if self.val_per_class < 0:
            raise PrepError(f"--val-per-class {self.val_per_class}: give 0 or more images")
        if not 0 <= self.seed < 1 << 63:
            raise PrepError(f"--seed {self.seed}: give 0 to 2^63 - 1")

"""What users of a search for twins can choose."""

from dataclasses import dataclass

from in21k.prep.errors import PrepError

DISTANCE = 4
"""In how many of its 64 bits a twin's hash may differ, unless users choose otherwise."""
MOST_DISTANCE = 12
"""The most that the search is made for."""


def require_distance(distance: int) -> None:
    """Refuse a distance that the search is not made for.

    Raises:
        PrepError: it is out of range.
    """
    if not 0 <= distance <= MOST_DISTANCE:
        raise PrepError(f"--distance {distance}: give 0 to {MOST_DISTANCE} bits")


@dataclass(frozen=True)
class SearchParameters:
    """The user's choices for a search."""

    distance: int = DISTANCE
    """In how many bits of 64 the hashes of twins may differ."""
    crops: bool = True
    """Whether to look for crops, too."""

    def __post_init__(self) -> None:
        require_distance(self.distance)

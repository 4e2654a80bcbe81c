"""The species of the demo's taxonomy, and the four ranks that make them."""

from dataclasses import dataclass
from itertools import product

REALMS = ("Wavy", "Tiled", "Misty", "Dusty")
FAMILIES = ("disk", "triangle", "square", "trefoil", "quatrefoil", "hexagon", "cinquefoil")
GENERA = ("striped", "ringed", "spoked", "checked")
KINDS = ("halo, bright", "moons, bright", "halo, dark", "moons, dark")

_RANKS = (REALMS, FAMILIES, GENERA, KINDS)

MOST_SPECIES = len(REALMS) * len(FAMILIES) * len(GENERA) * len(KINDS)
"""How many classes with pictures there can be, 448."""

SPECIES = 16
"""How many are drawn by default: two at every rank."""


@dataclass(frozen=True, slots=True)
class Species:
    """A class with pictures."""

    place: tuple[int, ...]
    """Its position in each rank."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels from its realm down to its own, each unique: `Wavy`, `Wavy disk`, and so on."""
        realm, family, genus, species = (names[at] for names, at in zip(_RANKS, self.place, strict=True))
        shape = f"{realm} {genus} {family}"
        return realm, f"{realm} {family}", shape, f"{shape} ({species})"

    @property
    def names(self) -> tuple[str, ...]:
        """What they are called below what lies above them."""
        return tuple(names[at] for names, at in zip(_RANKS, self.place, strict=True))


def places(species: int) -> list[tuple[int, ...]]:
    """Return the positions of so many species, such that few of them already branch at every rank."""
    every = product(*(range(len(names)) for names in _RANKS))
    return sorted(sorted(every, key=lambda place: (max(place), place))[:species])

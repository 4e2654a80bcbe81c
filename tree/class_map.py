"""The map from one class list to another, such as ImageNet-21K's to ImageNet-1K's: same synset, or the nearest kin."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum

from in21k.tree.subtree import Parents, ancestors


class Relation(StrEnum):
    """What the class that a class is mapped to is to it."""

    SAME = "same"
    ANCESTOR = "ancestor"
    DESCENDANT = "descendant"
    NONE = "none"
    """No class of the other list is above or below it."""


@dataclass(frozen=True, slots=True)
class Mapped:
    """A class, and the class of the other list that it is mapped to."""

    wnid: str
    relation: Relation
    target: str = ""
    """The other list's class; empty without a relation."""
    steps: int = 0
    """The number of hypernyms between them."""
    ties: tuple[str, ...] = ()
    """Other classes of the list that are as near, in byte order."""


def map_classes(wnids: Sequence[str], targets: Collection[str], parents: Parents) -> list[Mapped]:
    """Return what each class of a list is mapped to in another list.

    A class is mapped to itself if the other list has it; else to the nearest class above it, since an image of a poodle
    is an image of a dog; else to the nearest class below it, of which there may be many. All paths count. Of equally
    near ones the first in byte order is taken, and the others are its ties.

    Args:
        wnids: the classes to map.
        targets: the classes of the other list.
        parents: all parents of a class.
    """
    goals = frozenset(targets)
    below = _nearest_below(wnids, goals, parents)
    return [_mapped(wnid, goals, ancestors(wnid, parents), below.get(wnid, {})) for wnid in wnids]


def _mapped(wnid: str, goals: frozenset[str], above: dict[str, int], below: dict[str, int]) -> Mapped:
    if wnid in goals:
        return Mapped(wnid, Relation.SAME, wnid)
    over = {name: steps for name, steps in above.items() if name in goals}
    for relation, found in ((Relation.ANCESTOR, over), (Relation.DESCENDANT, below)):
        if found:
            steps = min(found.values())
            nearest = sorted((name for name in found if found[name] == steps), key=str.encode)
            return Mapped(wnid, relation, nearest[0], steps, tuple(nearest[1:]))
    return Mapped(wnid, Relation.NONE)


def _nearest_below(wnids: Sequence[str], goals: frozenset[str], parents: Parents) -> dict[str, dict[str, int]]:
    """Return for each class the goals below it, with the number of steps to each."""
    wanted = frozenset(wnids)
    below: dict[str, dict[str, int]] = {}
    for goal in goals:
        for name, steps in ancestors(goal, parents).items():
            if name in wanted:
                below.setdefault(name, {})[goal] = steps
    return below

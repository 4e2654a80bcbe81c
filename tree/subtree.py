"""What lies above and below a class in a graph of several parents, such as WordNet's hypernyms."""

from collections.abc import Callable, Collection, Iterator, Sequence

Parents = Callable[[str], Sequence[str]]
"""Returns all parents of a class, the first ones first."""


def ancestors(name: str, parents: Parents) -> dict[str, int]:
    """Return the ancestors of a class on all its paths, nearest first, with the number of steps to each.

    Args:
        name: the class, which is not among them.
        parents: all parents of a class.
    """
    steps = {name: 0}
    for above in (queue := [name]):
        for parent in parents(above):
            if parent not in steps:
                steps[parent] = steps[above] + 1
                queue.append(parent)
    del steps[name]
    return steps


def in_subtrees(names: Collection[str], roots: Collection[str], parents: Parents) -> Iterator[str]:
    """Yield those of some classes that are a root or have one above them on any of their paths.

    Args:
        names: the classes, in the order in which they are yielded.
        roots: the classes at the top of the subtrees.
        parents: all parents of a class.
    """
    inside = dict.fromkeys(roots, True)
    for name in names:
        if _is_inside(name, inside, parents):
            yield name


def _is_inside(name: str, inside: dict[str, bool], parents: Parents) -> bool:
    """Return whether a class lies in the subtrees; `inside` holds what is known, and grows."""
    if name not in inside:
        found = any(inside.get(above, False) for above in ancestors(name, parents))
        inside[name] = found
    return inside[name]

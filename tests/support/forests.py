"""Random and given forests as hierarchies, for tests that need no torch."""

import numpy as np
from hypothesis import strategies as st

from in21k.tree.hierarchy import ROOT, Hierarchy


def hierarchy_of(parents: list[int]) -> Hierarchy:
    """Return the hierarchy of classes named class0, class1, …, with these parents."""
    return Hierarchy(tuple(f"class{i}" for i in range(len(parents))), np.array(parents, np.int32))


@st.composite
def forests(draw, max_size: int = 24) -> list[int]:
    """Draw the parents of a random forest, in random order of class index."""
    above = draw(st.lists(st.integers(0, 1 << 20), min_size=1, max_size=max_size))
    parents = [value % (i + 1) - 1 for i, value in enumerate(above)]
    position = draw(st.permutations(range(len(parents))))
    shuffled = [ROOT] * len(parents)
    for node, parent in enumerate(parents):
        shuffled[position[node]] = ROOT if parent == ROOT else position[parent]
    return shuffled

"""A walk down WordNet, against which what walks up is checked."""

from collections import defaultdict
from functools import cache

from in21k.tree.wordnet import load_wordnet


@cache
def hyponyms() -> dict[str, set[str]]:
    """The synsets right below each synset."""
    below: dict[str, set[str]] = defaultdict(set)
    for wnid, synset in load_wordnet().items():
        for above in synset.hypernyms:
            below[above].add(wnid)
    return below


def walked_down(root: str) -> set[str]:
    """A synset and all below it, a level at a time, until nothing is added."""
    found = level = {root}
    while level:
        level = set().union(*(hyponyms().get(wnid, ()) for wnid in level)) - found
        found = found | level
    return found

"""The parent of each synset: one of its hypernyms, which turns WordNet's graph into a tree."""

import csv
from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import cache
from importlib import resources

from in21k.tree.errors import TreeError
from in21k.tree.wordnet import Synset, load_wordnet


class ParentRule(StrEnum):
    """How one parent is chosen for a synset with several hypernyms."""

    PUBLISHED = "published"
    """The hypernym that ImageNet's own is-a list names last, as in the authors' semantic tree (498 packaged facts)."""
    WORDNET_FIRST = "wordnet-first"
    """The hypernym that WordNet lists first."""
    SHORTEST = "shortest"
    """The hypernym nearest to WordNet's root; among equals, the one that WordNet lists first."""


def primary_parents(rule: ParentRule = ParentRule.PUBLISHED) -> Callable[[str], str | None]:
    """Return a function that maps a wnid to its parent's wnid under a rule, and a root to None.

    Instance hypernyms do not count as parents. The function raises TreeError for anything that is not a noun synset of
    WordNet 3.0.
    """
    wordnet = load_wordnet()
    published = published_parents() if rule is ParentRule.PUBLISHED else {}

    @cache
    def depth(wnid: str) -> int:
        """Return the number of steps on the shortest way up to WordNet's root."""
        return 1 + min(map(depth, wordnet[wnid].hypernyms), default=-1)

    def parent(wnid: str) -> str | None:
        """Return the parent's wnid, or None for a root."""
        hypernyms = known_synset(wordnet, wnid).hypernyms
        if not hypernyms:
            return None
        if rule is ParentRule.SHORTEST:
            return min(hypernyms, key=depth)
        return published.get(wnid, hypernyms[0])

    return parent


@cache
def published_parents() -> Mapping[str, str]:
    """Return the published parents of those of ImageNet's classes and their ancestors that have several hypernyms."""
    with resources.files("in21k.tree.data").joinpath("primary_parents.csv").open(encoding="ascii") as file:
        return {row["wnid"]: row["parent"] for row in csv.DictReader(file)}


def known_synset(wordnet: Mapping[str, Synset], wnid: str) -> Synset:
    """Return the synset of a wnid.

    Raises:
        TreeError: the wnid is not a noun synset of WordNet 3.0.
    """
    try:
        return wordnet[wnid]
    except KeyError:
        raise TreeError(f"{wnid!r} is not a noun synset of WordNet 3.0; expected a wnid such as n02084071") from None

"""Which hypernym of a synset is its parent: a tree out of WordNet's graph."""

import csv
from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import cache
from importlib import resources

from in21k.tree.errors import TreeError
from in21k.tree.wordnet import Synset, load_wordnet


class ParentRule(StrEnum):
    """How the one parent of a synset with several hypernyms is chosen."""

    PUBLISHED = "published"
    """The one that ImageNet's own is-a list names last, as in the paper's semantic tree (498 packaged facts)."""
    WORDNET_FIRST = "wordnet-first"
    """The one that WordNet lists first."""
    SHORTEST = "shortest"
    """The one nearest to WordNet's root; among equals the one that WordNet lists first."""


def primary_parents(rule: ParentRule = ParentRule.PUBLISHED) -> Callable[[str], str | None]:
    """Return the function that maps a wnid to its parent's wnid under a rule, and a root to None.

    Instance hypernyms are no parents. The function raises TreeError for what is no noun synset of WordNet 3.0.
    """
    wordnet = load_wordnet()
    published = published_parents() if rule is ParentRule.PUBLISHED else {}

    @cache
    def depth(wnid: str) -> int:
        return 1 + min(map(depth, wordnet[wnid].hypernyms), default=-1)

    def parent(wnid: str) -> str | None:
        hypernyms = known_synset(wordnet, wnid).hypernyms
        if not hypernyms:
            return None
        if rule is ParentRule.SHORTEST:
            return min(hypernyms, key=depth)
        return published.get(wnid, hypernyms[0])

    return parent


@cache
def published_parents() -> Mapping[str, str]:
    """Return the published parents of the synsets above ImageNet's classes that have several hypernyms."""
    with resources.files("in21k.tree.data").joinpath("primary_parents.csv").open(encoding="ascii") as file:
        return {row["wnid"]: row["parent"] for row in csv.DictReader(file)}


def known_synset(wordnet: Mapping[str, Synset], wnid: str) -> Synset:
    """Return the synset of a wnid.

    Raises:
        TreeError: WordNet 3.0 has no such noun synset.
    """
    try:
        return wordnet[wnid]
    except KeyError:
        raise TreeError(f"{wnid!r} is no noun synset of WordNet 3.0 (expected a wnid such as n02084071)") from None

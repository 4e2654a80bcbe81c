"""What the classes of a hierarchy are called, and where that is from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from in21k.tree.parents import ParentRule, known_synset
from in21k.tree.wordnet import load_wordnet

WORDNET_SOURCE = "WordNet 3.0"
FIRST_PARENT = "first"
"""The rule of edge lists: the parent of a child with several is the one that its file names first."""


@dataclass(frozen=True, slots=True)
class Labels:
    """The words that belong to a hierarchy of C classes, in order of class index."""

    source: str
    """Where the parents are from, such as `WordNet 3.0`."""
    rule: str
    """How one of several parents was chosen."""
    names: Sequence[str]
    """[C]: what each class is called."""
    lemmas: Sequence[Sequence[str]]
    """[C]: all words for it, the name among them."""
    all_parents: Sequence[Sequence[str]]
    """[C]: all its parents in the source, whether they are classes here or not."""


def wordnet_labels(wnids: Sequence[str], rule: ParentRule) -> Labels:
    """Return what WordNet 3.0 calls a list of wnids.

    Raises:
        TreeError: a wnid is no noun synset of WordNet 3.0.
    """
    wordnet = load_wordnet()
    synsets = [known_synset(wordnet, wnid) for wnid in wnids]
    return Labels(
        source=WORDNET_SOURCE,
        rule=rule.value,
        names=[synset.name for synset in synsets],
        lemmas=[synset.lemmas for synset in synsets],
        all_parents=[synset.hypernyms for synset in synsets],
    )


def edge_labels(names: Sequence[str], parents: Mapping[str, Sequence[str]], source: str) -> Labels:
    """Return the labels of classes that an edge list names; one that is a wnid gets WordNet's words.

    Args:
        names: the classes as the edge list has them.
        parents: all parents of each child.
        source: the name of the edge list's file.
    """
    wordnet = load_wordnet() if any(_like_wnid(name) for name in names) else {}
    lemmas = [wordnet[name].lemmas if name in wordnet else (name,) for name in names]
    return Labels(
        source=source,
        rule=FIRST_PARENT,
        names=[words[0] for words in lemmas],
        lemmas=lemmas,
        all_parents=[tuple(parents.get(name, ())) for name in names],
    )


def _like_wnid(name: str) -> bool:
    return len(name) == 9 and name[0] == "n" and name[1:].isdecimal()

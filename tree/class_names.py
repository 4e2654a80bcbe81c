"""What the classes of a hierarchy are called, and where their names and parents come from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from in21k.tree.edges import FIRST_PARENT
from in21k.tree.parents import ParentRule, known_synset
from in21k.tree.wordnet import WORDNET_SOURCE, load_wordnet


@dataclass(frozen=True, slots=True)
class ClassNames:
    """The names of a hierarchy's C classes, in order of class index, and where its parents come from."""

    source: str
    """Where the parents come from, such as `WordNet 3.0`."""
    rule: str
    """How one of several parents was chosen."""
    names: Sequence[str]
    """[C]: the name of each class."""
    lemmas: Sequence[Sequence[str]]
    """[C]: all words for each class, including its name."""
    all_parents: Sequence[Sequence[str]]
    """[C]: all parents of each class in the source, kept or not."""
    glosses: Sequence[str | None] = ()
    """[C]: what each class is, where the source says it; empty where it says it of none."""


def wordnet_class_names(wnids: Sequence[str], rule: ParentRule) -> ClassNames:
    """Return WordNet 3.0's names for a list of wnids.

    Raises:
        TreeError: a wnid is not a noun synset of WordNet 3.0.
    """
    wordnet = load_wordnet()
    synsets = [known_synset(wordnet, wnid) for wnid in wnids]
    return ClassNames(
        source=WORDNET_SOURCE,
        rule=rule.value,
        names=[synset.name for synset in synsets],
        lemmas=[synset.lemmas for synset in synsets],
        all_parents=[synset.hypernyms for synset in synsets],
        glosses=[synset.gloss for synset in synsets],
    )


def edge_class_names(
    classes: Sequence[str],
    parents: Mapping[str, Sequence[str]],
    source: str,
    names: Mapping[str, str] = MappingProxyType({}),
    rule: str = FIRST_PARENT,
    glosses: Mapping[str, str] = MappingProxyType({}),
) -> ClassNames:
    """Return the names of an edge list's classes; classes that are wnids get WordNet's names and glosses.

    Args:
        classes: the classes as the edge list spells them.
        parents: all parents of each child.
        source: the name of the edge list's file.
        names: what the edge list calls its classes, where it says so.
        rule: how one of several parents was chosen.
        glosses: what the edge list says that its classes are, where it does.
    """
    wordnet = load_wordnet() if any(_looks_like_wnid(name) for name in classes) else {}
    lemmas = [
        (names[name],) if name in names else wordnet[name].lemmas if name in wordnet else (name,) for name in classes
    ]
    return ClassNames(
        source=source,
        rule=rule,
        names=[words[0] for words in lemmas],
        lemmas=lemmas,
        all_parents=[tuple(parents.get(name, ())) for name in classes],
        glosses=[
            glosses.get(name) or (wordnet[name].gloss if name in wordnet and name not in names else None)
            for name in classes
        ],
    )


def _looks_like_wnid(name: str) -> bool:
    return len(name) == 9 and name[0] == "n" and name[1:].isdecimal()

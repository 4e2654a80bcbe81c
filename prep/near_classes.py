"""What a user may have meant with a class or a published list that there is not, by its names too."""

from collections.abc import Iterable, Mapping, Sequence

from in21k.shards_manifest.command.nearest import MOST, did_you_mean, nearest
from in21k.tree.class_lists import PublishedList
from in21k.tree.taxonomy import EdgeTaxonomy, Taxonomy, TaxonomyKind
from in21k.tree.wordnet import load_wordnet

Words = Mapping[str, Sequence[str]]
"""What classes are called, by their labels: a class's name comes first."""


def list_hint(name: str) -> str:
    """Return the question which published list was meant; the names of all where none is like it."""
    return did_you_mean(name, PublishedList, f"the lists are {', '.join(PublishedList)}")


def class_hint(label: str, taxonomy: Taxonomy) -> str:
    """Return the question which class of a taxonomy was meant, as `hint_among` does."""
    if isinstance(taxonomy, EdgeTaxonomy):
        words: Words = {each: taxonomy.words(each) for each in taxonomy.edges.parents}
        return hint_among(label, words, f"give a label of {taxonomy.source}")
    if taxonomy.kind is not TaxonomyKind.WORDNET:
        return "give a label of the dump"
    wordnet = load_wordnet()
    return hint_among(label, {wnid: wordnet[wnid].lemmas for wnid in wordnet}, "give one such as n00007846")


def hint_among(label: str, words: Words, otherwise: str) -> str:
    """Return the question which of some classes was meant; another ending where none is like it.

    It may be meant by a name, by a label with a slip in it, or by a name with one.
    """
    found = _named(label, words) or nearest(label, words) or _misspelled(label, words)
    shown = [each if words[each][0] == each else f"{each} ({words[each][0]})" for each in found[:MOST]]
    return f"did you mean {' or '.join(shown)}?" if shown else otherwise


def _named(name: str, words: Words) -> list[str]:
    """Return the labels of the classes that go by a name: first those whose first name it is, and so on."""
    wanted = _folded(name)
    found = ((_all_folded(each), label) for label, each in words.items())
    return [label for _, label in sorted((names.index(wanted), label) for names, label in found if wanted in names)]


def _misspelled(name: str, words: Words) -> list[str]:
    """Return the first label for each of the names nearest to one."""
    return [_named(each, words)[0] for each in nearest(name, (word for each in words.values() for word in each))]


def _all_folded(names: Iterable[str]) -> list[str]:
    return [_folded(name) for name in names]


def _folded(name: str) -> str:
    return name.casefold().replace("_", " ")

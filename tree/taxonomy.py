"""Taxonomies: which labels there are, what they are called, and what lies above them.

WordNet is one; a file of edges, the folders around the images, or no tree at all take its place.
"""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Protocol

from in21k.tree.class_names import ClassNames
from in21k.tree.edges import EdgeList, chosen_parents, rule_for_edges
from in21k.tree.parents import ParentRule, known_synset, primary_parents
from in21k.tree.wordnet import WORDNET_SOURCE, load_wordnet


class TaxonomyKind(StrEnum):
    """Where labels and their parents come from."""

    WORDNET = "wordnet"
    EDGES = "edges"
    """A CSV of child and parent."""
    FOLDERS = "folders"
    """The folders around the images."""
    FLAT = "flat"
    """Nowhere: labels are names without parents."""


class Taxonomy(Protocol):
    """What a dataset's labels are. A label is any text, such as `n02084071` or `Animalia/Chordata/Aves`."""

    @property
    def kind(self) -> TaxonomyKind:
        """Where it comes from."""
        ...

    @property
    def source(self) -> str:
        """Where it comes from, in words: `WordNet 3.0`, or the name of a file."""
        ...

    @property
    def rule(self) -> str:
        """How one of several parents is chosen."""
        ...

    def __contains__(self, label: object, /) -> bool:
        """Return whether it has a label."""
        ...

    def words(self, label: str) -> Sequence[str]:
        """Return what a label is called, its name first.

        Raises:
            TreeError: there is no such label.
        """
        ...

    def gloss(self, label: str) -> str | None:
        """Return what a label means, None where the taxonomy does not say.

        Raises:
            TreeError: there is no such label.
        """
        ...

    def parents(self, label: str) -> Sequence[str]:
        """Return all parents of a label.

        Raises:
            TreeError: there is no such label.
        """
        ...

    def parent(self, label: str) -> str | None:
        """Return the parent of a label in the hierarchy, None for a root.

        Raises:
            TreeError: there is no such label.
        """
        ...


class WordNet:
    """WordNet 3.0's nouns; labels are wnids."""

    kind = TaxonomyKind.WORDNET
    source = WORDNET_SOURCE

    def __init__(self, rule: ParentRule = ParentRule.PUBLISHED) -> None:
        self.rule = rule.value
        self._synsets = load_wordnet()
        self._parent = primary_parents(rule)

    def __contains__(self, label: object) -> bool:
        """Return whether a label is the wnid of a noun synset."""
        return label in self._synsets

    def words(self, label: str) -> Sequence[str]:
        """Return a synset's lemmas."""
        return known_synset(self._synsets, label).lemmas

    def gloss(self, label: str) -> str:
        """Return a synset's gloss."""
        return known_synset(self._synsets, label).gloss

    def parents(self, label: str) -> Sequence[str]:
        """Return a synset's hypernyms, without those that it is an instance of."""
        return known_synset(self._synsets, label).hypernyms

    def parent(self, label: str) -> str | None:
        """Return the hypernym that the rule chooses, None for a root."""
        return self._parent(label)


class EdgeTaxonomy:
    """A file of edges; labels are the names in it."""

    kind = TaxonomyKind.EDGES

    def __init__(self, edges: EdgeList, rule: ParentRule = ParentRule.PUBLISHED) -> None:
        """Choose each label's parent by a rule, where several are listed: the first, or the one nearest to a root."""
        self.source = edges.name
        self.rule = rule_for_edges(rule)
        self.parent_rule = rule
        self.edges = edges
        self._parent = chosen_parents(edges, rule)

    def __contains__(self, label: object) -> bool:
        """Return whether the file names a label."""
        return label in self.edges.parents

    def words(self, label: str) -> Sequence[str]:
        """Return the name that the file gives a label, or the label itself."""
        return (self.edges.names.get(label, label),)

    def gloss(self, label: str) -> str | None:
        """Return the gloss that the file gives a label, None where it gives none."""
        return self.edges.glosses.get(label)

    def parents(self, label: str) -> Sequence[str]:
        """Return a label's parents in the file's order."""
        return self.edges.parents.get(label, ())

    def parent(self, label: str) -> str | None:
        """Return a label's parent, None for a root."""
        return self._parent.get(label)


class FolderTaxonomy:
    """Nested folders; a label is the path of a folder, and its parent the folder around it."""

    kind = TaxonomyKind.FOLDERS
    source = "folders"
    rule = "none"

    def __contains__(self, label: object) -> bool:
        """Return True: each folder is a label."""
        return True

    def words(self, label: str) -> Sequence[str]:
        """Return the folder's name."""
        return (label.rpartition("/")[2],)

    def gloss(self, label: str) -> None:
        """Return None: a folder has no more than its name."""

    def parents(self, label: str) -> Sequence[str]:
        """Return the path of the folder around a folder; nothing for an outermost one."""
        above = self.parent(label)
        return () if above is None else (above,)

    def parent(self, label: str) -> str | None:
        """Return the path of the folder around a folder, None for an outermost one."""
        return label.rpartition("/")[0] or None


class FlatTaxonomy:
    """No tree: a label is the name of its class, and all classes are roots."""

    kind = TaxonomyKind.FLAT
    source = "none"
    rule = "none"

    def __contains__(self, label: object) -> bool:
        """Return True: any text is a label."""
        return True

    def words(self, label: str) -> Sequence[str]:
        """Return the label."""
        return (label,)

    def gloss(self, label: str) -> None:
        """Return None: a label is all there is."""

    def parents(self, label: str) -> Sequence[str]:  # noqa: ARG002 - of any label
        """Return nothing."""
        return ()

    def parent(self, label: str) -> str | None:  # noqa: ARG002 - of any label
        """Return None: a root."""
        return None


def class_names(taxonomy: Taxonomy, labels: Sequence[str]) -> ClassNames:
    """Return what a taxonomy calls a list of classes.

    Raises:
        TreeError: the taxonomy does not have a label.
    """
    words = [taxonomy.words(label) for label in labels]
    return ClassNames(
        source=taxonomy.source,
        rule=taxonomy.rule,
        names=[of_label[0] for of_label in words],
        lemmas=words,
        all_parents=[taxonomy.parents(label) for label in labels],
        glosses=[taxonomy.gloss(label) for label in labels],
    )


def labels_above(taxonomy: Taxonomy, labels: Iterable[str]) -> set[str]:
    """Return the labels above some labels in the hierarchy, without those that are among them.

    Raises:
        TreeError: the taxonomy does not have a label.
    """
    below = set(labels)
    above: set[str] = set()
    for label in below:
        at = taxonomy.parent(label)
        while at is not None and at not in above:
            above.add(at)
            at = taxonomy.parent(at)
    return above - below

"""Values that options of `in21k-prep` are known to take, for shells to complete: published lists, and classes."""

from in21k.shards_manifest.command.options import Known
from in21k.tree.class_lists import PublishedList, published_class_list

_LEAST = 4
"""Letters of a wnid for which its completions are listed; all 82,000 would be too many."""


def _lists(_: str) -> dict[str, str]:
    """Return the names of the published lists, with how long they are."""
    return {release.value: f"{len(published_class_list(release)):,} classes" for release in PublishedList}


def _classes(begun: str) -> dict[str, str]:
    """Return the wnids of WordNet that begin as a text does, with their names."""
    if len(begun) < _LEAST:
        return {}
    from in21k.tree.wordnet import load_wordnet

    wordnet = load_wordnet()
    return {wnid: wordnet[wnid].name for wnid in wordnet if wnid.startswith(begun)}


CLASS_LISTS = Known(_lists, files=True)
"""Published lists, or paths."""
CLASSES = Known(_classes)
"""Classes of WordNet; those of other taxonomies are taken as they are."""
CLASSES_OR_FILE = Known(_classes, files=True)
"""The same, or paths."""

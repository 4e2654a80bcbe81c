"""Values that options of `in21k-prep` are known to take, for shells to complete: published lists, and classes."""

from in21k.shards_manifest.command.options import Known
from in21k.tree.class_lists import PublishedList, published_class_list


def _lists(_: str) -> dict[str, str]:
    """Return the names of the published lists, with how long they are."""
    return {release.value: f"{len(published_class_list(release)):,} classes" for release in PublishedList}


def _classes(begun: str) -> dict[str, str]:
    """Return the wnids that begin as a text does, or whose names do, with what they are."""
    from in21k.tree.begun_names import synsets_begun

    return synsets_begun(begun)


CLASS_LISTS = Known(_lists, files=True)
"""Published lists, or paths."""
CLASSES = Known(_classes, by_name=True)
"""Classes of WordNet; those of other taxonomies are taken as they are."""
CLASSES_OR_FILE = Known(_classes, files=True, by_name=True)
"""The same, or paths."""

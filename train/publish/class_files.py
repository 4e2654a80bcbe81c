"""The classes of a model as text: their list, and where ImageNet-1K's classes are among them."""

from in21k.train.use.class_table import ClassTable
from in21k.tree.class_lists import PublishedList, published_class_list

CLASSES = "classes.txt"
IMAGENET1K_MAP = "imagenet1k_map.csv"

_SEPARATORS = str.maketrans("\t\n\r", "   ")


def class_lines(classes: ClassTable) -> bytes:
    """Return classes.txt: a line per class in class order, its wnid (or label), a tab, and its words."""
    rows = zip(classes.hierarchy.wnids, classes.lemmas, strict=True)
    return "".join(f"{_plain(wnid)}\t{_plain(', '.join(lemmas))}\n" for wnid, lemmas in rows).encode()


def imagenet1k_indices(classes: ClassTable) -> list[tuple[str, int | None]]:
    """Return for each of ImageNet-1K's classes, in its order there, its wnid and its index in the model, if any."""
    index = {wnid: at for at, wnid in enumerate(classes.hierarchy.wnids)}
    return [(wnid, index.get(wnid)) for wnid in published_class_list(PublishedList.IN1K)]


def imagenet1k_map(classes: ClassTable) -> bytes:
    """Return imagenet1k_map.csv: ImageNet-1K's index, the wnid, and the index here, which is empty for absent classes.

    There is no such file, and the result is empty, where the model has none of the classes.
    """
    rows = imagenet1k_indices(classes)
    if not any(at is not None for _, at in rows):
        return b""
    lines = (f"{number},{wnid},{'' if at is None else at}\n" for number, (wnid, at) in enumerate(rows))
    return ("imagenet1k_index,wnid,class_index\n" + "".join(lines)).encode()


def _plain(text: str) -> str:
    """Return a text without what would begin a line or a column."""
    return text.translate(_SEPARATORS)

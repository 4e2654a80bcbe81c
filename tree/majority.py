"""What guessing each level's most frequent class of the train split comes to on the val split."""

from collections.abc import Mapping

import numpy as np

from in21k.tree.hierarchy import Hierarchy, Int64Array


def majority_hits(
    hierarchy: Hierarchy, images_train: Int64Array, images_val: Int64Array
) -> Mapping[int, tuple[int, int]]:
    """Return, for each active level, the correct guesses and all pairs of a val image and its ancestor there.

    Args:
        hierarchy: of C classes.
        images_train: int64 [C], training images per class.
        images_val: int64 [C], val images per class.
    """
    train, val = hierarchy.subtree_sums(images_train), hierarchy.subtree_sums(images_val)
    levels = {}
    for level in np.flatnonzero(hierarchy.active).tolist():
        classes = np.flatnonzero(hierarchy.levels == level)
        guess = classes[np.argmax(train[classes])]
        levels[level] = (int(val[guess]), int(val[classes].sum()))
    return levels


def majority_shares(hierarchy: Hierarchy, images_train: Int64Array, images_val: Int64Array) -> Mapping[str, float]:
    """Return the majority's `semantic_top1` and `top1`, 0 to 1; none without images of both splits.

    Semantic top-1 is over all levels, of each one's most frequent class; top-1 is of the most frequent class of all.

    Args:
        hierarchy: of C classes.
        images_train: int64 [C], training images per class.
        images_val: int64 [C], val images per class.
    """
    if not (images_train.any() and images_val.any()):
        return {}
    levels = majority_hits(hierarchy, images_train, images_val).values()
    hits, pairs = (sum(column) for column in zip(*levels, strict=True)) if levels else (0, 0)
    semantic = {"semantic_top1": hits / pairs} if pairs else {}
    return {**semantic, "top1": int(images_val[np.argmax(images_train)]) / int(images_val.sum())}

"""Which wnid each output of a published ImageNet classifier stands for, and which outputs are a dataset's classes."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from timm.data import ImageNetInfo, infer_imagenet_subset

from in21k.train.errors import TrainError
from in21k.tree.published_lists import PublishedList, published_class_list


def published_classes(outputs: int) -> tuple[str, ...]:
    """Return the wnids of a classifier of so many outputs, in their order.

    Known are the two releases of ImageNet-21K-P (the authors' models), and what timm has models of: ImageNet-1K, its
    own 11,821 classes, and the whole of ImageNet-21K.

    Raises:
        TrainError: no published list has so many classes.
    """
    for release in PublishedList:
        if len(wnids := published_class_list(release)) == outputs:
            return wnids
    subset = infer_imagenet_subset({"num_classes": outputs})
    if subset is None:
        raise TrainError(
            f"a classifier of {outputs:,} outputs is none of a published class list; which classes it has is unknown"
        )
    return tuple(ImageNetInfo(subset).label_names())


def outputs_of(wnids: Sequence[str], outputs: int, name: str) -> npt.NDArray[np.int64]:
    """Return int64 [C]: for each class of a dataset the output of a published classifier that stands for it.

    Args:
        wnids: of the dataset, C in order of class index.
        outputs: of the classifier.
        name: of the model, for errors.

    Raises:
        TrainError: the list is unknown, or lacks a class of the dataset.
    """
    place = {wnid: number for number, wnid in enumerate(published_classes(outputs))}
    if missing := [wnid for wnid in wnids if wnid not in place]:
        raise TrainError(
            f"{len(missing):,} of the dataset's {len(wnids):,} classes are not among the {outputs:,} of {name}, "
            f"such as {missing[0]}"
        )
    return np.array([place[wnid] for wnid in wnids], np.int64)

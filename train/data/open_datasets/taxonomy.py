"""A dataset's own taxonomy: what lies above its classes becomes classes, too, for the schemes that learn levels."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa

from in21k.train.data.interfaces import TrainingData
from in21k.train.data.open_datasets.listed import ListedDataset, single_labels
from in21k.tree.class_names import ClassNames
from in21k.tree.hierarchy import ROOT, Hierarchy
from in21k.tree.table import named_table


@dataclass(frozen=True, eq=False, kw_only=True)
class TaxonomyDataset(ListedDataset):
    """Images of a dataset whose classes have a hierarchy; those above its own classes come behind them."""

    parents: Sequence[int]
    """[C]: the class index of each class's parent, or ROOT."""

    @cached_property
    def hierarchy(self) -> Hierarchy:
        """The classes and those above them."""
        return Hierarchy(tuple(self.classes), np.array(self.parents, np.int32))

    def hierarchy_table(self) -> pa.Table:
        """Return the hierarchy, in which what lies above the own classes goes by the end of its path."""
        own = len(self.lineages)
        names = [name if at < own else name.rpartition("/")[2] for at, name in enumerate(self.classes)]
        class_names = ClassNames(
            source=self.title,
            rule="none",
            names=names,
            lemmas=[(name,) for name in names],
            all_parents=[() if parent == ROOT else (self.classes[parent],) for parent in self.parents],
        )
        return named_table(self.hierarchy, class_names, self.images_train, self.images_val)


def in_taxonomy(data: TrainingData) -> TrainingData:
    """Return data with the classes above their own, labeled by their paths; as they are if they have no taxonomy.

    The classes of the data keep their indices.

    Raises:
        TreeError: a class is called like one above it.
    """
    if not isinstance(data, ListedDataset) or not data.lineages:
        return data
    paths = [["/".join(above[: depth + 1]) for depth in range(len(above))] for above in data.lineages]
    classes = [*data.classes, *sorted({path for own in paths for path in own})]
    index = {path: number for number, path in enumerate(classes) if number >= len(data.classes)}
    parents = [index[own[-1]] if own else ROOT for own in paths]
    parents += [index[path.rpartition("/")[0]] if "/" in path else ROOT for path in classes[len(data.classes) :]]
    return TaxonomyDataset(
        name=data.name,
        classes=classes,
        splits=data.splits,
        label_sets=single_labels(len(classes)),
        title=data.title,
        image_size=data.image_size,
        lineages=data.lineages,
        left_out=data.left_out,
        val_share=data.val_share,
        parents=parents,
    )

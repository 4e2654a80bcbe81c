"""A prepared dataset whose classes are taken as a plain list."""

import pyarrow as pa

from in21k.train.data.open_datasets.listed import flat_hierarchy
from in21k.train.data.prepared.dataset import Dataset, open_dataset
from in21k.tree.class_names import ClassNames
from in21k.tree.table import named_table


class PlainDataset(Dataset):
    """A prepared dataset whose classes are a plain list: an image is labeled with its own class alone."""

    def hierarchy_table(self) -> pa.Table:
        """Return the classes as a hierarchy table of one level, with the names in the dataset's own table.

        Raises:
            DatasetError: the dataset's table cannot be read.
        """
        own = super().hierarchy_table()
        names, lemmas = (own[column].to_pylist() for column in ("name", "lemmas"))
        class_names = ClassNames(
            source=f"classes of {self.location.name}",
            rule="none",
            names=names,
            lemmas=lemmas,
            all_parents=[()] * len(names),
            glosses=own["gloss"].to_pylist(),
        )
        return named_table(self.hierarchy, class_names, self.images_train, self.images_val)


def open_plain_dataset(path: str) -> PlainDataset:
    """Return a prepared dataset with its classes as a plain list.

    Raises:
        DatasetError: there is no finished dataset, or its files contradict each other.
    """
    dataset = open_dataset(path)
    hierarchy = flat_hierarchy(dataset.hierarchy.wnids)
    return PlainDataset(
        location=dataset.location,
        manifest=dataset.manifest,
        hierarchy=hierarchy,
        images_train=dataset.images_train,
        images_val=dataset.images_val,
    )

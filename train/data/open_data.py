"""The data to transfer to: recognized by what is at a path, with the classes as a plain list."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from in21k.shards_manifest.manifest import MANIFEST
from in21k.shards_manifest.storage.location import locate
from in21k.train.data.interfaces import TrainingData
from in21k.train.data.open_datasets.cifar import is_cifar, open_cifar
from in21k.train.data.open_datasets.coco import is_coco, open_coco
from in21k.train.data.open_datasets.csv_list import is_csv_list, open_csv_list
from in21k.train.data.open_datasets.food251 import is_food251, open_food251
from in21k.train.data.open_datasets.image_folder import is_image_folder, open_image_folder
from in21k.train.data.open_datasets.imagenet import is_imagenet, open_imagenet
from in21k.train.data.open_datasets.inaturalist import is_inaturalist, open_inaturalist
from in21k.train.data.open_datasets.listed import flat_hierarchy
from in21k.train.data.open_datasets.open_images import is_open_images, open_open_images
from in21k.train.data.open_datasets.stanford_cars import is_stanford_cars, open_stanford_cars
from in21k.train.data.open_datasets.voc import open_voc, voc_folder
from in21k.train.data.open_datasets.webdataset import is_webdataset, open_webdataset
from in21k.train.data.prepared.dataset import Dataset, open_dataset
from in21k.train.errors import TrainError
from in21k.tree.class_names import ClassNames
from in21k.tree.table import named_table

AUTO = "auto"


@dataclass(frozen=True)
class DataRequest:
    """The data that a user asks for."""

    path: str
    """A folder, a file or a URI."""
    layout: str = AUTO
    """One of `LAYOUTS`, or auto."""
    val_share: float = 0.0
    """Share of each class that is held out, from 0 to 1, where there are no validation images."""
    annotations: str = ""
    """COCO, iNaturalist, Open Images: annotation file of the training images."""
    val: str = ""
    """Likewise of the validation images. CSV: list of them. WebDataset: pattern of their tars."""
    images: str = ""
    """CSV, iNaturalist, Open Images: the folder in which the paths begin, by default that of the list."""


@dataclass(frozen=True)
class Layout:
    """A form in which data come."""

    matches: Callable[[DataRequest], bool]
    """Whether the data look like this."""
    open: Callable[[DataRequest], TrainingData]
    holds_out: bool = False
    """Whether a share of the training images can be held out for validation."""
    options: frozenset[str] = frozenset()
    """Which of `annotations`, `val` and `images` it has a use for."""


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


LAYOUTS: Mapping[str, Layout] = {
    "shards": Layout(
        lambda request: locate(request.path).child(MANIFEST).exists(),
        lambda request: open_plain_dataset(request.path),
    ),
    "csv": Layout(
        lambda request: is_csv_list(Path(request.path)),
        lambda request: open_csv_list(Path(request.path), request.images, request.val, request.val_share),
        holds_out=True,
        options=frozenset(("images", "val")),
    ),
    "cifar": Layout(
        lambda request: is_cifar(Path(request.path)),
        lambda request: open_cifar(Path(request.path)),
    ),
    "inaturalist": Layout(
        lambda request: is_inaturalist(Path(request.path)),
        lambda request: open_inaturalist(
            Path(request.path), request.annotations, request.val, request.images, request.val_share
        ),
        holds_out=True,
        options=frozenset(("annotations", "images", "val")),
    ),
    "openimages": Layout(
        lambda request: is_open_images(Path(request.path)),
        lambda request: open_open_images(Path(request.path), request.annotations, request.val, request.images),
        options=frozenset(("annotations", "images", "val")),
    ),
    "coco": Layout(
        lambda request: bool(request.annotations) or is_coco(Path(request.path)),
        lambda request: open_coco(Path(request.path), request.annotations, request.val, request.val_share),
        holds_out=True,
        options=frozenset(("annotations", "val")),
    ),
    "voc": Layout(
        lambda request: voc_folder(Path(request.path)) is not None,
        lambda request: open_voc(Path(request.path)),
    ),
    "food251": Layout(
        lambda request: is_food251(Path(request.path)),
        lambda request: open_food251(Path(request.path)),
    ),
    "stanford-cars": Layout(
        lambda request: is_stanford_cars(Path(request.path)),
        lambda request: open_stanford_cars(Path(request.path)),
    ),
    "imagenet": Layout(
        lambda request: is_imagenet(Path(request.path)),
        lambda request: open_imagenet(Path(request.path)),
    ),
    "imagefolder": Layout(
        lambda request: is_image_folder(Path(request.path)),
        lambda request: open_image_folder(Path(request.path), request.val_share),
        holds_out=True,
    ),
    "webdataset": Layout(
        lambda request: is_webdataset(request.path),
        lambda request: open_webdataset(request.path, request.val),
        options=frozenset(("val",)),
    ),
}
"""By name, in the order in which `auto` tries them."""


def open_data(request: DataRequest) -> TrainingData:
    """Return the data that a user asks for.

    Raises:
        DatasetError: their layout is unknown or has no use for an option, or they are damaged.
    """
    if request.layout != AUTO:
        return _opened(request.layout, request)
    for name, layout in LAYOUTS.items():
        if layout.matches(request):
            return _opened(name, request)
    if "://" not in request.path and not request.path.endswith(".tar") and not Path(request.path).exists():
        raise TrainError(f"{request.path}: there is no such file or folder")
    raise TrainError(f"{request.path} has none of the known layouts ({', '.join(LAYOUTS)}); give --layout")


def _opened(name: str, request: DataRequest) -> TrainingData:
    layout = LAYOUTS[name]
    if request.val_share and not layout.holds_out:
        raise TrainError(
            f"{request.path}: data of the layout {name} have a val split of their own; leave --val-share out"
        )
    for option in ("annotations", "val", "images"):
        if getattr(request, option) and option not in layout.options:
            raise TrainError(f"{request.path}: data of the layout {name} have no use for --{option}; leave it out")
    return layout.open(request)

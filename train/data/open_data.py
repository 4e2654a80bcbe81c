"""The data that a user names: prepared, or in one of the layouts in which others publish theirs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from in21k.shards_manifest.manifest import HIERARCHY, MANIFEST
from in21k.shards_manifest.markers import UNFINISHED
from in21k.shards_manifest.storage.location import locate
from in21k.train.data.interfaces import TrainingData
from in21k.train.data.open_datasets.cifar import is_cifar, open_cifar
from in21k.train.data.open_datasets.coco import is_coco, open_coco
from in21k.train.data.open_datasets.csv_list import is_csv_list, open_csv_list
from in21k.train.data.open_datasets.food251 import is_food251, open_food251
from in21k.train.data.open_datasets.image_folder import is_image_folder, open_image_folder
from in21k.train.data.open_datasets.imagenet import is_imagenet, open_imagenet
from in21k.train.data.open_datasets.inaturalist import is_inaturalist, open_inaturalist
from in21k.train.data.open_datasets.kinetics import is_kinetics, open_kinetics
from in21k.train.data.open_datasets.listed import ListedDataset
from in21k.train.data.open_datasets.no_layout import no_layout
from in21k.train.data.open_datasets.open_images import is_open_images, open_open_images
from in21k.train.data.open_datasets.stanford_cars import is_stanford_cars, open_stanford_cars
from in21k.train.data.open_datasets.videos import is_video_folder, open_video_folder
from in21k.train.data.open_datasets.voc import open_voc, voc_folder
from in21k.train.data.open_datasets.webdataset import is_webdataset, open_webdataset
from in21k.train.data.prepared.dataset import open_dataset
from in21k.train.data.prepared.plain import open_plain_dataset
from in21k.train.errors import TrainError

AUTO, SHARDS = "auto", "shards"


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
    """Likewise of the validation images. CSV, Kinetics: list of them. WebDataset: pattern of their tars."""
    images: str = ""
    """CSV, iNaturalist, Open Images, Kinetics: the folder in which the files are, by default that of the list."""
    checkpoint: Path | None = None
    """Evaluation: the model's, whose run says which share of the data it held out; None where it is nobody's."""

    def __post_init__(self) -> None:
        """Refuse a share that is none.

        Raises:
            TrainError: it is below 0, 1 or more, or no number.
        """
        if not 0 <= self.val_share < 1:
            raise TrainError(f"--val-share {self.val_share:g}: it must be 0 or more, and below 1, such as 0.1")


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


def _open_videos(request: DataRequest) -> TrainingData:
    """Return videos, in class folders or of Kinetics' lists."""
    path = Path(request.path)
    if path.suffix.lower() == ".csv" and path.is_file():
        return open_kinetics(path, request.images, request.val, request.val_share)
    if given := request.val or request.images:
        raise TrainError(f"{path}: class folders of videos have no use for --val and --images; leave {given} out")
    return open_video_folder(path, request.val_share)


LAYOUTS: Mapping[str, Layout] = {
    SHARDS: Layout(
        lambda request: _is_prepared(request.path),
        lambda request: open_plain_dataset(request.path),
    ),
    "csv": Layout(
        lambda request: is_csv_list(Path(request.path)) and not is_kinetics(Path(request.path)),
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
    "video": Layout(
        lambda request: is_kinetics(Path(request.path)) or is_video_folder(Path(request.path)),
        lambda request: _open_videos(request),
        holds_out=True,
        options=frozenset(("images", "val")),
    ),
    "webdataset": Layout(
        lambda request: is_webdataset(request.path),
        lambda request: open_webdataset(request.path, request.val),
        options=frozenset(("val",)),
    ),
}
"""By name, in the order in which `auto` tries them."""


def open_data(request: DataRequest) -> TrainingData:
    """Return the data that a user asks to transfer to, with their classes as a plain list.

    Raises:
        DatasetError: their layout is unknown or has no use for an option, or they are damaged.
    """
    name = _layout(request)
    _require_useful(name, request)
    return _opened(name, request)


def open_to_pretrain(request: DataRequest, run: Path) -> TrainingData:
    """Return the data that a user asks to pretrain on: as for a transfer, but a prepared dataset has its hierarchy.

    Args:
        request: what is asked for.
        run: the run's folder, which may not lie among images.

    Raises:
        DatasetError: as `open_data`, and `require_apart`.
    """
    name = _layout(request)
    if name == SHARDS:
        return _open_shards(request, "train")
    _require_useful(name, request)
    require_apart(request.path, run)
    data = _opened(name, request)
    require_two_classes(data)
    return data


def open_to_evaluate(request: DataRequest) -> TrainingData:
    """Return the data that a user asks to evaluate on: a prepared dataset has its hierarchy.

    Raises:
        DatasetError: as `open_data`.
    """
    name = _layout(request)
    if name == SHARDS:
        return _open_shards(request, "evaluate")
    _require_useful(name, request)
    return _opened(name, request)


def _opened(name: str, request: DataRequest) -> TrainingData:
    """Return data of a layout, which remember the share that was held out."""
    data = LAYOUTS[name].open(request)
    return replace(data, val_share=request.val_share) if isinstance(data, ListedDataset) else data


def _open_shards(request: DataRequest, wish: str) -> TrainingData:
    """Return a prepared dataset with its hierarchy; other data are named as what they look like."""
    if looks := _other_layout(request):
        raise TrainError(
            f"{request.path}: no {MANIFEST} there; prepare it with in21k-prep, or give --layout {looks}, which it has, "
            f"to {wish} on it as it is"
        )
    _require_useful(SHARDS, request)
    return open_dataset(request.path)


def require_apart(data: str, run: Path) -> None:
    """Refuse a run's folder in a folder of images, of which it would become a class, or around one.

    Raises:
        TrainError: one of the two lies in the other.
    """
    images, output = Path(data).resolve(), run.resolve()
    if images.is_dir() and (output.is_relative_to(images) or images.is_relative_to(output)):
        raise TrainError(f"--output {run} and DATA {data} are not apart; give another --output")


def require_two_classes(data: TrainingData) -> None:
    """Refuse data whose images are all of one class, between which there is nothing to learn.

    Raises:
        TrainError: they are.
    """
    if data.is_single_label and len(data.hierarchy) == 1:
        raise TrainError(
            f"{data.name} has one class alone, {data.hierarchy.wnids[0]}, which teaches nothing; add images of another"
        )


def _is_prepared(path: str) -> bool:
    """Return whether in21k-prep made what is at a path, or began to, so that its tars are no one else's."""
    return locate(path).child(MANIFEST).exists() or Path(path, UNFINISHED).is_dir()


def _other_layout(request: DataRequest) -> str:
    """Return which layout a folder has that holds no prepared dataset, nor a part of one; empty if none, or a URI."""
    path = request.path
    if "://" in path or _is_prepared(path) or Path(path, HIERARCHY).exists():
        return ""
    return next((name for name, layout in LAYOUTS.items() if layout.matches(request)), "")


def recognized(request: DataRequest) -> str:
    """Return the layout that a request names, or else the first that its data have; empty if they have none."""
    if request.layout != AUTO:
        return request.layout
    return next((name for name, layout in LAYOUTS.items() if layout.matches(request)), "")


def _layout(request: DataRequest) -> str:
    """Return the name of a request's layout.

    Raises:
        TrainError: nothing says it.
    """
    if name := recognized(request):
        return name
    if "://" not in request.path and not request.path.endswith(".tar") and not Path(request.path).exists():
        raise TrainError(f"{request.path}: there is no such file or folder")
    raise no_layout(request.path, LAYOUTS)


def _require_useful(name: str, request: DataRequest) -> None:
    """Refuse options for which a layout has no use."""
    layout = LAYOUTS[name]
    if request.val_share and not layout.holds_out:
        raise TrainError(
            f"{request.path}: data of the layout {name} have a val split of their own; leave --val-share out"
        )
    for option in ("annotations", "val", "images"):
        if getattr(request, option) and option not in layout.options:
            raise TrainError(f"{request.path}: data of the layout {name} have no use for --{option}; leave it out")

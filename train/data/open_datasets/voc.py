"""Pascal VOC: an image's labels are the classes of all its objects.

Objects marked `difficult` count like any other, since the image shows the class. (VOC's own evaluation of a class
leaves out images in which all its objects are difficult.)
"""

from collections.abc import Callable
from pathlib import Path
from xml.parsers import expat

from in21k.shards_manifest.errors import one_line
from in21k.train.data.open_datasets.image_files import safe_name
from in21k.train.data.open_datasets.label_sets import multi_label_dataset
from in21k.train.data.open_datasets.labeled import LabeledImages, check_listed
from in21k.train.data.open_datasets.listed import ListedDataset
from in21k.train.errors import TrainError

_SETS, _IMAGES, _OBJECTS = "ImageSets/Main", "JPEGImages", "Annotations"
_MAX_XML = 1 << 22
_OBJECT_NAME = ["annotation", "object", "name"]


def voc_folder(path: Path) -> Path | None:
    """Return the folder of one year, the path itself or such as VOCdevkit/VOC2007 in it; None if there is none."""
    years = [path, *sorted(path.glob("VOC[0-9]*")), *sorted(path.glob("VOCdevkit/VOC[0-9]*"))]
    return next((folder for folder in years if (folder / _SETS).is_dir()), None)


def open_voc(path: Path) -> ListedDataset:
    """Return the images that ImageSets/Main lists.

    Where `test` is listed and annotated, as in VOC2007, training takes `trainval` and validation takes `test`;
    otherwise they take `train` and `val`. A list `val` without images means no validation.

    Raises:
        TrainError: lists or annotations are missing or damaged.
    """
    root = voc_folder(path)
    if root is None:
        raise TrainError(f"{path} is not a Pascal VOC folder: it has no {_SETS}")
    names = _lists(root)
    objects = {split: [objects_of(root / _OBJECTS / f"{name}.xml") for name in names[split]] for split in names}
    images = {split: _images(root, found) for split, found in names.items()}
    check_listed({f"{root / _SETS}, {split}": found for split, found in images.items()})
    classes = sorted({label for split in objects.values() for labels in split for label in labels})
    index = {name: number for number, name in enumerate(classes)}
    return multi_label_dataset(
        name=str(root),
        classes=classes,
        keys=dict(names),
        sets={split: [[index[label] for label in labels] for labels in found] for split, found in objects.items()},
        stores={split: found.store for split, found in images.items()},
        title=f"objects of {root.name}",
    )


def objects_of(path: Path) -> set[str]:
    """Return the classes of the objects in an annotation file; parts of objects do not count.

    No entity is expanded: a file that declares a document type is an error.

    Raises:
        TrainError: the file is missing, too large, or not XML.
    """
    names = _ObjectNames()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = names.enter
    parser.EndElementHandler = names.leave
    parser.CharacterDataHandler = names.read
    parser.StartDoctypeDeclHandler = _refuser(path)
    try:
        if path.stat().st_size > _MAX_XML:
            raise TrainError(f"{path} is larger than {_MAX_XML >> 20} MB; it is not a VOC annotation file")
        parser.Parse(path.read_bytes(), True)
    except (OSError, expat.ExpatError, ValueError) as error:
        raise TrainError(f"{path} cannot be read: {one_line(error)}") from error
    return {name.strip() for name in names.found}


class _ObjectNames:
    """Collects the names of objects from an XML parser's events."""

    def __init__(self) -> None:
        self.found: list[str] = []
        self._elements: list[str] = []  # from the root down to the current one

    def enter(self, name: str, _: object) -> None:
        self._elements.append(name)
        if self._elements == _OBJECT_NAME:
            self.found.append("")

    def leave(self, _: str) -> None:
        self._elements.pop()

    def read(self, text: str) -> None:
        if self._elements == _OBJECT_NAME:
            self.found[-1] += text


def _refuser(path: Path) -> Callable[..., None]:
    def refuse(*_: object) -> None:
        raise TrainError(f"{path} declares a document type, which VOC annotations do not")

    return refuse


def _images(root: Path, names: list[str]) -> LabeledImages:
    return LabeledImages([f"{name}.jpg" for name in names], (), str(root / _IMAGES))


def _lists(root: Path) -> dict[str, list[str]]:
    train, val = _listed(root, "trainval"), _listed(root, "test")
    if not (train and val and (root / _OBJECTS / f"{val[0]}.xml").is_file()):
        train, val = _listed(root, "train"), _listed(root, "val")
    if not train or val is None:
        raise TrainError(
            f"{root / _SETS} lists no images: neither in trainval.txt and test.txt nor in train.txt and val.txt"
        )
    return {"train": train, "val": val}


def _listed(root: Path, name: str) -> list[str] | None:
    path = root / _SETS / f"{name}.txt"
    if not path.is_file():
        return None
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return [safe_name(line.split()[0], str(path)) for line in lines if line.strip()]

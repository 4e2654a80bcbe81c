"""Stanford Cars: the devkit's MATLAB files, or the single one of the older layout."""

from pathlib import Path
from typing import Any

import numpy as np

from in21k.shards_manifest.errors import one_line
from in21k.train.data.open_datasets.image_files import safe_name
from in21k.train.data.open_datasets.labeled import LabeledImages, check_listed, labeled_dataset
from in21k.train.data.open_datasets.listed import ListedDataset
from in21k.train.errors import TrainError

_ALL = "cars_annos.mat"
"""The older layout's file, for images of both splits in car_ims/."""
_META, _TRAIN, _TEST = "cars_meta.mat", "cars_train_annos.mat", "cars_test_annos_withlabels.mat"
_PLACES = ("devkit", "")
_MOST_BYTES = 8 << 20
"""Of a MATLAB file; the largest here has a tenth of it."""


def is_stanford_cars(root: Path) -> bool:
    """Return whether a folder holds the annotations of Stanford Cars."""
    return _found(root, _TRAIN) is not None or _found(root, _ALL) is not None


def open_stanford_cars(root: Path) -> ListedDataset:
    """Return the training images, and the test images as `val`, with the classes in the order of their numbers.

    The images are in cars_train/ and cars_test/, with devkit/cars_train_annos.mat, cars_meta.mat and
    cars_test_annos_withlabels.mat (also beside devkit/); or in car_ims/, with cars_annos.mat.

    Raises:
        TrainError: SciPy is not installed, an annotation file is missing or damaged, or an image is missing.
    """
    old = _found(root, _ALL) if _found(root, _TRAIN) is None else None
    if old is not None:
        loaded = _loaded(old)
        classes, parts = _class_names(loaded, old), _both_splits(loaded, old, root)
        sources = {f"{old}, {split}": part for split, part in parts.items()}
    else:
        paths = {"train": _required(root, _TRAIN), "val": _required(root, _TEST)}
        classes = _class_names(_loaded(_required(root, _META)), _required(root, _META))
        folders = {"train": "cars_train", "val": "cars_test"}
        parts = {split: _images(_loaded(path), path, root / folders[split]) for split, path in paths.items()}
        sources = {str(paths[split]): part for split, part in parts.items()}
    for source, part in sources.items():
        if odd := [labels[0] for labels in part.labels if not 0 <= labels[0] < len(classes)]:
            raise TrainError(f"{source} has the class {odd[0] + 1}, which is none of 1 to {len(classes)}")
    check_listed(sources)
    if not parts["train"].names:
        raise TrainError(f"{root} has no training images in its annotations")
    return labeled_dataset(str(root), classes, parts["train"], parts["val"], "makes of cars", single_label=True)


def _found(root: Path, name: str) -> Path | None:
    return next((path for place in _PLACES if (path := root / place / name).is_file()), None)


def _required(root: Path, name: str) -> Path:
    path = _found(root, name)
    if path is None:
        raise TrainError(f"{root} has no {name}, neither there nor in devkit/; put it there")
    return path


def _loaded(path: Path) -> dict[str, Any]:
    """Return the variables of a MATLAB file.

    Raises:
        TrainError: it cannot be read, or SciPy, which reads it, is not installed.
    """
    try:
        from scipy.io import loadmat
    except ImportError:
        raise TrainError(f"{path} is a MATLAB file; reading it needs SciPy: pip install 'in21k[mat]'") from None
    try:
        if (size := path.stat().st_size) > _MOST_BYTES:
            raise TrainError(f"{path} has {size:,} bytes, over the limit of {_MOST_BYTES:,}")
        found: dict[str, Any] = loadmat(path, squeeze_me=True, struct_as_record=True)
    except TrainError:
        raise
    except Exception as error:  # SciPy fails in many ways on files that are damaged
        raise TrainError(f"{path} cannot be read as a MATLAB file: {one_line(error)}") from error
    return found


def _class_names(loaded: dict[str, Any], path: Path) -> list[str]:
    names: list[str] = np.atleast_1d(loaded.get("class_names", np.empty(0))).tolist()
    if not names or not all(isinstance(name, str) for name in names):
        raise TrainError(f"{path} has no class_names, a cell array of text")
    return names


def _annotations(loaded: dict[str, Any], path: Path, *fields: str) -> list[tuple[Any, ...]]:
    """Return some fields of each annotation."""
    array = np.atleast_1d(loaded.get("annotations", np.empty(0)))
    if missing := [field for field in fields if field not in (array.dtype.names or ())]:
        raise TrainError(f"{path} has no annotations with the field {missing[0]}")
    return list(zip(*(array[field].tolist() for field in fields), strict=True))


def _images(loaded: dict[str, Any], path: Path, folder: Path) -> LabeledImages:
    rows = _annotations(loaded, path, "fname", "class")
    return LabeledImages(
        [safe_name(name, str(path)) for name, _ in rows], [(_label(path, label),) for _, label in rows], str(folder)
    )


def _both_splits(loaded: dict[str, Any], path: Path, root: Path) -> dict[str, LabeledImages]:
    rows = _annotations(loaded, path, "relative_im_path", "class", "test")
    chosen = {"train": [row for row in rows if not row[2]], "val": [row for row in rows if row[2]]}
    return {
        split: LabeledImages(
            [safe_name(name, str(path)) for name, _, _ in found],
            [(_label(path, label),) for _, label, _ in found],
            str(root),
        )
        for split, found in chosen.items()
    }


def _label(path: Path, label: Any) -> int:
    """Return a class of 1 to C, which MATLAB keeps as a float or a small integer, as an index."""
    try:
        number = int(label)
        if number == label:
            return number - 1
    except (TypeError, ValueError, OverflowError):
        pass
    raise TrainError(f"{path} has the class {str(label)[:80]!r}, which is no whole number")

"""What is said of data that have none of the known layouts: what they lack, where that can be seen."""

import os
from collections.abc import Iterable
from pathlib import Path

from in21k.train.data.open_datasets.image_files import images_below, is_file, is_image_name
from in21k.train.data.open_datasets.left_out import LeftOut
from in21k.train.errors import TrainError


def no_layout(path: str, layouts: Iterable[str]) -> TrainError:
    """Return the error of data without a known layout.

    Args:
        path: of the data, which are there, or a URI or a pattern.
        layouts: the names of those that are known.
    """
    folder = Path(path, "train") if Path(path, "train").is_dir() else Path(path)
    lacking = _lacking(folder) if folder.is_dir() else ""
    return TrainError(lacking or f"{path} has none of the known layouts ({', '.join(layouts)}); give --layout")


def _lacking(folder: Path) -> str:
    """Return what a folder lacks to be one of class folders; empty if that is not what it looks like."""
    with os.scandir(folder) as entries:
        found = [entry for entry in entries if entry.name[0] != "."]
    if any(is_image_name(entry.name) and is_file(entry) for entry in found):
        return f"{folder} holds photos but no class folders; put them into {folder / 'CLASS'}{os.sep}"
    left_out = LeftOut()
    if not any(images_below(folder, "", is_named=left_out.beside(folder))) and left_out.photos:
        return f"{folder} holds no images that can be read, but {left_out.photos}"
    if all(entry.is_dir(follow_symlinks=False) and not any(Path(entry.path).iterdir()) for entry in found):
        return f"{folder} is empty; put photos into {folder / 'CLASS'}{os.sep}"
    return ""

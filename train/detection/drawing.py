"""Pictures of what a detector finds: each image with its boxes, in a folder."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torchvision.utils import draw_bounding_boxes

from in21k.shards_manifest.errors import errors_naming
from in21k.shards_manifest.storage.local_files import atomic_path, make_folder
from in21k.train.detection.find_boxes import BoxPrediction
from in21k.train.errors import TrainError
from in21k.train.images.decode_wild import read_pixels

_COLORS = ("#e6194b", "#3cb44b", "#4363d8", "#f58231", "#911eb4", "#008080", "#9a6324", "#800000", "#808000", "#000075")
"""Of the classes in turn."""


def picture_paths(folder: Path, images: Sequence[Path]) -> list[Path]:
    """Return the PNG in a folder for each image: its name, with its number before it where two have the same name.

    Raises:
        TrainError: there is such a file already, or the folder is a file.
    """
    names = [f"{path.stem}.png" for path in images]
    counts = Counter(name.lower() for name in names)
    for number, name in enumerate(names):
        if counts[name.lower()] > 1:
            names[number] = f"{number:06d}-{name}"
    with errors_naming(str(folder)):
        if folder.exists() and not folder.is_dir():
            raise TrainError(f"--draw {folder} is a file; give a folder")
        there = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if taken := next((name for name in names if name in there), None):
        raise TrainError(f"--draw {folder} holds {taken} already; give an empty folder or a new one")
    return [folder / name for name in names]


def draw_prediction(prediction: BoxPrediction, path: Path) -> None:
    """Write a PNG of an image with its boxes; nothing for one that cannot be read.

    Raises:
        DatasetError: the file cannot be written.
    """
    if prediction.error:
        return
    with errors_naming(prediction.image):
        pixels = read_pixels(Path(prediction.image).read_bytes())
    drawn = torch.from_numpy(pixels.transpose(2, 0, 1).copy())
    if prediction.boxes:
        drawn = _with_boxes(drawn, prediction)
    make_folder(path.parent)
    with atomic_path(path) as temporary:
        Image.fromarray(np.ascontiguousarray(drawn.permute(1, 2, 0).numpy())).save(temporary, format="PNG")


def _with_boxes(image: torch.Tensor, prediction: BoxPrediction) -> torch.Tensor:
    corners = torch.tensor([[x, y, x + width, y + height] for x, y, width, height in (b.box for b in prediction.boxes)])
    labels = [f"{each.name} {each.score:.2f}".encode("ascii", "replace").decode() for each in prediction.boxes]
    colors = [_COLORS[each.class_index % len(_COLORS)] for each in prediction.boxes]
    width = max(2, round(max(image.shape) / 300))
    drawn: torch.Tensor = draw_bounding_boxes(image, corners, labels=labels, colors=colors, width=width)
    return drawn

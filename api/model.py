"""A trained model to ask what images show: a run's, an exported one's, timm's or the paper's."""

from collections.abc import Iterable
from os import PathLike, fspath
from pathlib import Path
from typing import overload

import numpy as np
import PIL.Image

from in21k.train.answers.paths import CONFIDENCE
from in21k.train.config.settings import RunConfig
from in21k.train.errors import TrainError
from in21k.train.model.architectures import is_published
from in21k.train.use.given_images import AnyImage, GivenImages, check_image
from in21k.train.use.guesses import Prediction
from in21k.train.use.image_files import image_files
from in21k.train.use.predict import BATCH_SIZE, predict
from in21k.train.use.published_model import open_published
from in21k.train.use.trained_model import TrainedModel, open_trained
from in21k.tree.hierarchy import Hierarchy


class Model:
    """A trained model with the names of its classes."""

    def __init__(self, trained: TrainedModel, device: str = "auto") -> None:
        self.trained = trained
        """The network on the CPU, its metadata and its classes."""
        self.device = device
        """auto, cpu or cuda."""

    def __repr__(self) -> str:
        metadata = self.trained.metadata
        return f"Model({metadata.model}: {metadata.num_classes:,} classes, {metadata.image_size} pixels)"

    @property
    def hierarchy(self) -> Hierarchy:
        """The hierarchy of the model's classes."""
        return self.trained.classes.hierarchy

    @overload
    def predict(  # type: ignore[overload-overlap] # a path alone is one image, though text is a sequence of texts
        self, images: AnyImage, *, top: int = ..., confidence: float = ...
    ) -> Prediction: ...

    @overload
    def predict(
        self, images: Iterable[AnyImage], *, top: int = ..., confidence: float = ..., batch_size: int = ...
    ) -> list[Prediction]: ...

    def predict(
        self,
        images: AnyImage | Iterable[AnyImage],
        *,
        top: int = 0,
        confidence: float = CONFIDENCE,
        batch_size: int = BATCH_SIZE,
    ) -> Prediction | list[Prediction]:
        """Return what an image shows; of several, what each one does, in order.

        Args:
            images: the path of an image file, its bytes, a PIL image or uint8 [H, W, 3]; or several of them. Paths
                alone are read when their turn comes, from 256 of them on in loader processes, which import the script
                again: its code is then under `if __name__ == "__main__":`.
            top: classes per level; 0 takes one if there are several levels, else five.
            confidence: least probability of the class at which the path's answer stops, 0 to 1.
            batch_size: images at once; the predictions do not depend on it.

        Raises:
            TrainError: the only image cannot be read; of several, the `error` of its prediction says why.
        """
        if _is_one(images):
            [found] = self._predict([images], top, confidence, batch_size)  # type: ignore[list-item]
            if found.error:
                raise TrainError(f"{found.image}: {found.error}")
            return found
        return self._predict(list(images), top, confidence, batch_size)  # type: ignore[arg-type]

    def _predict(self, images: list[AnyImage], top: int, confidence: float, batch_size: int) -> list[Prediction]:
        for image in images:
            check_image(image)
        if not images:
            return []
        run, paths = RunConfig(device=self.device), [Path(each) for each in images if isinstance(each, str | PathLike)]
        if len(paths) == len(images):
            files = image_files(paths)
            return list(predict(self.trained, files, run, top=top, confidence=confidence, batch_size=batch_size))
        run = RunConfig(device=self.device, workers=0)
        given = GivenImages(images)
        return list(predict(self.trained, given, run, top=top, confidence=confidence, batch_size=batch_size))


def load_model(
    checkpoint: "str | PathLike[str]",
    *,
    device: str = "auto",
    data: str = "",
    hierarchy: str = "",
    weights: "str | PathLike[str] | None" = None,
) -> Model:
    """Return a trained model.

    Args:
        checkpoint: a run's, a checkpoint's or an exported model's folder, a model file, an ONNX file; `timm:NAME` for
            timm's weights, or a name of the paper's, such as `TResNet-M`, for the authors'.
        device: auto, cpu or cuda.
        data: folder or URI of the dataset that names the classes, if no table is beside the model.
        hierarchy: path or URI of the table.
        weights: the authors' file, for a name of the paper's whose weights timm does not have.

    Raises:
        DatasetError: there is no such model, or it cannot be read.
    """
    name = fspath(checkpoint)
    if is_published(name):
        return Model(open_published(name, Path(weights) if weights else None), device)
    if weights:
        raise TrainError(f"{name} has weights of its own; leave weights out")
    return Model(open_trained(Path(name), data, hierarchy), device)


def _is_one(images: object) -> bool:
    return isinstance(images, str | PathLike | bytes | PIL.Image.Image | np.ndarray)

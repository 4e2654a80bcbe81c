"""Boxes in image files: what a trained detector finds in each, in batches that loader processes decode."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

import torch

from in21k.shards_manifest.errors import one_line
from in21k.shards_manifest.images.faults import ImageError
from in21k.train.config.settings import RunConfig
from in21k.train.data.interfaces import Sample
from in21k.train.data.partition import BatchPlan, EvalPlan
from in21k.train.detection.box_stream import as_image, sizes_of
from in21k.train.detection.detector import Detector, Found, detect
from in21k.train.detection.trained_detector import TrainedDetector
from in21k.train.device.backend import prepare_backend
from in21k.train.device.ranks import join_ranks
from in21k.train.errors import TrainError
from in21k.train.images.box_resize import BoxSizes, resize_to, resized_size
from in21k.train.images.decode_wild import read_pixels
from in21k.train.model.on_device import evaluating
from in21k.train.run.resolve import with_workers
from in21k.train.stream.loader import open_items
from in21k.train.use.image_files import ImageFiles
from in21k.train.use.predict import MANY


@dataclass(frozen=True)
class FoundBox:
    """A box that a detector found."""

    class_index: int
    wnid: str
    """The class's label, as a guess of a classifier calls it."""
    name: str
    score: float
    """0 to 1."""
    box: tuple[float, float, float, float]
    """Left, top, width and height in pixels of the upright image, as COCO has them."""


@dataclass(frozen=True)
class BoxPrediction:
    """What a detector finds in an image file."""

    image: str
    boxes: tuple[FoundBox, ...] = ()
    """The most certain first."""
    error: str = ""
    """Why the file cannot be read; empty if it can."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values: the image, and its boxes or the error."""
        if self.error:
            return {"image": self.image, "error": self.error}
        return {"image": self.image, "boxes": [asdict(each) | {"box": list(each.box)} for each in self.boxes]}


class _Image(NamedTuple):
    """An image on its way to the detector."""

    pixels: Any
    """uint8 [3, H, W], an array; None if it cannot be read."""
    scale: tuple[float, float]
    """Its width and height as multiples of those of its file."""
    fault: str


@dataclass(frozen=True)
class _Decoder:
    """Makes images of files' bytes, in the loader processes."""

    sizes: BoxSizes
    interpolation: str

    def batches(self, planned: Iterable[tuple[BatchPlan, list[Sample | None]]]) -> Iterator[list[_Image]]:
        """Yield the images of each step."""
        for _, samples in planned:
            yield [self._image(sample) for sample in samples if sample is not None]

    def _image(self, sample: Sample) -> _Image:
        if sample.fault:
            return _Image(None, (1, 1), sample.fault)
        try:
            pixels = read_pixels(sample.image)  # type: ignore[arg-type] # files are read as bytes
            height, width = pixels.shape[:2]
            size = resized_size(width, height, self.sizes.side, self.sizes.longest)
            resized = resize_to(pixels, size, self.interpolation)
        except ImageError as error:
            return _Image(None, (1, 1), one_line(error))
        return _Image(as_image(resized).numpy(), (size[0] / width, size[1] / height), "")


def find_boxes(
    model: TrainedDetector, images: ImageFiles, run: RunConfig, *, least_score: float = 0.5
) -> Iterator[BoxPrediction]:
    """Yield what a detector finds in each image file, in order; for a file that cannot be read, an error instead.

    Images pass through it one at a time: together they would be padded to one size, which changes the boxes.

    Args:
        model: to run.
        images: of any common format; they are turned upright and resized as in evaluation.
        run: device, precision, and loader processes, where -1 starts none for fewer than `MANY` images.
        least_score: of the boxes that are told, 0 to 1.

    Raises:
        TrainError: there are several ranks, or a loader process died.
    """
    with join_ranks(run.device) as ranks:
        if ranks.world_size > 1:
            raise TrainError("predictions are made on one rank; start predict without torchrun")
        prepare_backend(run, ranks.device, few_shapes=False)
        config = model.metadata.config
        decoder = _Decoder(sizes_of(config), config.data.interpolation)
        plan = EvalPlan(len(images), 1)
        few = run.workers < 0 and len(images) < MANY
        run = replace(run, workers=0) if few else with_workers(run, ranks, 1, decoder.sizes.longest)
        detector, paths = model.on(ranks), iter(range(len(images)))
        items: Any = open_items(images, plan, decoder.batches, workers=run.workers)
        with closing(items):
            for (image,) in items:
                with evaluating(detector.network, ranks.device, run):
                    found = None if image.fault else _found(detector, image, ranks.device)
                yield _prediction(str(images[next(paths)]), image, found, model, least_score)


def _found(detector: Detector, image: _Image, device: torch.device) -> Found:
    return detect(detector, [torch.from_numpy(image.pixels).to(device)])[0]


def _prediction(path: str, image: _Image, found: Found | None, model: TrainedDetector, least: float) -> BoxPrediction:
    if found is None:
        return BoxPrediction(path, error=image.fault)
    rows = zip(found.classes.tolist(), found.scores.tolist(), found.boxes.tolist(), strict=True)
    boxes = (_box(index, score, box, image.scale, model) for index, score, box in rows)
    return BoxPrediction(path, tuple(each for each in boxes if each.score >= least))


def _box(
    index: int, score: float, box: Sequence[float], scale: tuple[float, float], model: TrainedDetector
) -> FoundBox:
    left, top, right, bottom = (value / factor for value, factor in zip(box, scale * 2, strict=True))
    sides = tuple(float(f"{value:.6g}") for value in (left, top, right - left, bottom - top))
    wnid = model.classes.hierarchy.wnids[index]
    return FoundBox(index, wnid, model.classes.names[index], float(f"{score:.6g}"), (*sides,))  # type: ignore[arg-type]

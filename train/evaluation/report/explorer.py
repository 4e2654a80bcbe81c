"""The explorer of data that in21k-prep did not prepare: what a model says of them, with their images."""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from PIL import Image

from in21k.shards_manifest.images.faults import ImageError
from in21k.shards_manifest.images.thumbnail import LARGEST, square_jpeg, thumbnail_count
from in21k.shards_manifest.prediction_tables import MODEL
from in21k.shards_manifest.storage.local_files import write_atomic
from in21k.train.arrays import FloatArray, IntArray
from in21k.train.data.interfaces import Sample, TrainingData
from in21k.train.images.crops import CENTER
from in21k.train.images.decode_wild import decode_wild
from in21k.tree.explorer import explorer_page
from in21k.tree.explorer_data import Picture
from in21k.tree.model_overlay import MEASURES, ModelAnswers, images_to_show, model_overlay

BUDGET = 12 << 20
"""Bytes of a page's pictures."""
_SAMPLES = 2
"""Pictures of each class that the tree shows, too."""
_AT_ONCE = 64
"""Images that are read at once."""


def write_explorer(page: Path, data: TrainingData, predictions: Path, per_class: pa.Table, title: str) -> None:
    """Write the page.

    Args:
        page: the file.
        data: images with one class each.
        predictions: the table of what a model says of their val split.
        per_class: the table of their classes.
        title: whose answers they are.

    Raises:
        DatasetError: the images cannot be read, or the page cannot be written.
    """
    columns = ["key", "class_index", "guess", "guess_probability"]
    said = pq.read_table(predictions, columns=columns)
    answers = ModelAnswers(
        title=title,
        model=(said.schema.metadata or {}).get(MODEL, b"").decode("utf-8", "replace"),
        images=per_class["images"].to_numpy().astype(np.float64),
        scores={column: _numbers(per_class, column) for column in MEASURES},
        classes=said["class_index"].to_numpy().astype(np.int64),
        guesses=said["guess"].to_numpy().astype(np.int64),
        confidences=said["guess_probability"].to_numpy().astype(np.float64),
    )
    judged = _pictures(data, answers, said["key"])
    samples = {index: [_sample(picture) for picture in few[-_SAMPLES:]] for index, few in judged.items()}
    overlay = model_overlay(answers, data.hierarchy, judged)
    name = Path(data.name).name or data.name
    write_atomic(page, explorer_page(data.hierarchy_table(), name, samples, overlay=overlay).encode())


def _numbers(table: pa.Table, column: str) -> FloatArray:
    values: FloatArray = pc.fill_null(table[column], np.nan).to_numpy().astype(np.float64)
    return values


def _sample(picture: Picture) -> Picture:
    """Return a picture without what a model says of it."""
    return Picture(image=picture.image, key=picture.key, split=picture.split, shard=picture.shard)


def _pictures(data: TrainingData, answers: ModelAnswers, keys: pa.ChunkedArray) -> dict[int, list[Picture]]:
    """Return pictures of wrong and right images by true class, within the budget; wrong ones first."""
    count, side = thumbnail_count(int((answers.images > 0).sum()), BUDGET, data.image_size or LARGEST)
    rows = images_to_show(answers, count)
    numbers = pc.index_in(keys.take(pa.array(rows)), data.listing("val").keys).to_numpy().astype(np.int64)
    found: dict[int, dict[int, Picture]] = defaultdict(dict)
    left, order = BUDGET, np.argsort(numbers, kind="stable")
    for at, sample in zip(order.tolist(), _read(data, numbers[order]), strict=True):
        image = None if sample is None else _small(sample, side)
        if sample is None or image is None or len(image) > left:
            continue
        row = int(rows[at])
        left -= len(image)
        found[int(answers.classes[row])][at] = Picture(
            image=image,
            key=sample.key,
            split="val",
            shard="",
            guess=int(answers.guesses[row]),
            probability=round(float(answers.confidences[row]), 4),
        )
    return {index: _wrong_first(index, [few[at] for at in sorted(few)]) for index, few in found.items()}


def _wrong_first(index: int, pictures: list[Picture]) -> list[Picture]:
    return sorted(pictures, key=lambda picture: picture.guess == index)


def _read(data: TrainingData, numbers: IntArray) -> Iterator[Sample | None]:
    """Yield the val samples with these numbers, in their order."""
    reader = data.reader("val")()
    try:
        for start in range(0, len(numbers), _AT_ONCE):
            yield from reader.collect(reader.request(numbers[start : start + _AT_ONCE]))
    finally:
        reader.close()


def _small(sample: Sample, side: int) -> bytes | None:
    """Return a sample's image as a thumbnail; None if it has none or does not decode."""
    if sample.fault or isinstance(sample.image, Path):
        return None
    square = np.empty((side, side, 3), np.uint8)
    try:
        decode_wild(sample.image, square, CENTER, downscale="libjpeg")
    except ImageError:
        return None
    return square_jpeg(Image.fromarray(square), side)

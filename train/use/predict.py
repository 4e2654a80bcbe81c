"""Predictions of a trained model for image files, or videos, in batches that loader processes decode."""

from collections.abc import Iterator
from dataclasses import replace

from in21k.train.answers.paths import CONFIDENCE
from in21k.train.config.settings import Config, RunConfig
from in21k.train.data.interfaces import Decoding
from in21k.train.data.partition import EvalPlan
from in21k.train.device.backend import prepare_backend
from in21k.train.device.header import print_header, step_text
from in21k.train.device.ranks import Ranks, join_ranks
from in21k.train.errors import TrainError
from in21k.train.model.clips import of_videos
from in21k.train.model.on_device import evaluating, prepare_network
from in21k.train.run.resolve import with_workers
from in21k.train.stream.batch import Batch
from in21k.train.stream.device_stream import device_stream
from in21k.train.stream.source import StreamSource, clips_of
from in21k.train.use.given_images import GivenImages
from in21k.train.use.guesses import Guesser, Prediction, prediction_of
from in21k.train.use.image_files import ImageFiles
from in21k.train.use.trained_model import TrainedModel, device_choice
from in21k.train.video.video_file import require_av

BATCH_SIZE = 64
"""Images at once, by default."""

MANY = 256
"""Images from which on loader processes are started by default; to start them takes as long as decoding hundreds."""


def predict(
    model: TrainedModel,
    images: ImageFiles | GivenImages,
    run: RunConfig = RunConfig(),  # noqa: B008 - frozen
    *,
    top: int = 0,
    confidence: float = CONFIDENCE,
    batch_size: int = BATCH_SIZE,
) -> Iterator[Prediction]:
    """Yield the prediction for each image or video file, in order; an error instead for one that cannot be read.

    Args:
        model: to run.
        images: of any common format; they are turned upright and resized to the training images' size. For a model of
            videos, video files, of which it takes the clips that it was validated with. Or images that a program holds.
        run: device, precision, and loader processes, where -1 starts none for fewer than `MANY` images.
        top: classes per level; 0 takes one if there are several levels, else five.
        confidence: least probability of the class at which the path's answer stops, 0 to 1.
        batch_size: images at once, or frames of videos; the predictions do not depend on it.

    Raises:
        TrainError: there are several ranks, or a loader process died.
    """
    with join_ranks(device_choice(model, run.device)) as ranks:
        if ranks.world_size > 1:
            raise TrainError("predictions are made on one rank; start predict without torchrun")
        prepare_backend(run, ranks.device)
        size, source = model.metadata.image_size, _source(model, images)
        plan = EvalPlan(len(images), min(max(batch_size // source.rows, 1), len(images)))
        run = _resolved(run, ranks, plan, size, source.rows)
        network = prepare_network(model.network, ranks)
        if run.workers:  # of a few images, the answer is all that there is to say
            step = step_text(plan.batch_size, ranks, unit="videos" if images.is_video else "images")
            facts = {"model": model.metadata.model, "weights": str(model.path), "data": f"{len(images):,} files"}
            print_header(ranks, run, {**facts, "step": step})
        guesser = Guesser(model, top, ranks.device, confidence=confidence)
        with device_stream(source, plan, Config(run=run), ranks.device) as batches:
            for batch in batches:
                paths = images[batch.labels.start : batch.labels.start + plan.batch_size]
                with evaluating(network, ranks.device, run):
                    rows = batch.images[: len(paths) * source.rows]
                    logits = of_videos(network.module(network.inputs(rows, ranks.device)), source.clips)
                    logits = network.order.to_classes(logits.float(), dim=1)
                    found = list(zip(guesser.guesses(logits), guesser.paths(logits), strict=True))
                faults = _faults(batch, len(paths))
                del batch  # or its memory would stay in use until the next one arrives
                for path, guesses, fault in zip(paths, found, faults, strict=True):
                    yield Prediction(str(path), error=fault) if fault else prediction_of(str(path), *guesses)


def _source(model: TrainedModel, files: ImageFiles | GivenImages) -> StreamSource:
    """Return the source of the files' pixels."""
    config, size = model.metadata.config, model.metadata.image_size
    if config.video.frames:
        require_av()
    decoding = Decoding(image_size=size, wild=True, interpolation=config.data.interpolation, is_video=files.is_video)
    return StreamSource(files, decoding, clips=clips_of(config))


def _resolved(run: RunConfig, ranks: Ranks, plan: EvalPlan, size: int, rows: int = 1) -> RunConfig:
    """Return the settings with a number of loader processes."""
    if run.workers < 0 and plan.total < MANY:
        return replace(run, workers=0)
    return with_workers(run, ranks, plan.batch_size * rows, size)


def _faults(batch: Batch, images: int) -> list[str]:
    """Return why each image of a batch cannot be read; empty for those that can."""
    faults = iter(batch.labels.faults)
    return ["" if valid else next(faults) for valid in batch.labels.valid[:images].tolist()]

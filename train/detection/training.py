"""Training of detectors: a pretrained backbone on boxes in COCO's format, by the training loop of classifiers."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from in21k.train.config.detection_settings import NO_HEAD
from in21k.train.config.overrides import flatten
from in21k.train.config.settings import Config
from in21k.train.data.interfaces import TrainingData
from in21k.train.data.open_data import AUTO, DataRequest, require_apart
from in21k.train.data.open_datasets.boxes import BoxData, write_skipped_boxes
from in21k.train.data.open_datasets.coco_boxes import open_coco_boxes
from in21k.train.detection.box_session import BoxSession, open_box_session
from in21k.train.detection.box_stream import box_data, box_stream, sizes_of
from in21k.train.detection.box_val import BoxEvaluation, evaluate_boxes, write_box_scores
from in21k.train.detection.coco_metric import require_metric
from in21k.train.device.ranks import Ranks, cpu_group
from in21k.train.errors import TrainError
from in21k.train.recipes.choice import Choice
from in21k.train.recipes.recipe import open_recipe
from in21k.train.run.resolve import resolve_model, with_workers
from in21k.train.stream.batch import StepBatch
from in21k.train.stream.batch_stream import WaitClock
from in21k.train.trainer.loop import Task, Trainer, train_on
from in21k.train.transfer.transfer import IMAGE_SIZE, TransferRequest, start_values

RECIPE = "detection"

_UNUSED = {
    "model.grad_checkpointing": False,
    "data.random_crop_min_area": 0.0,
    "data.cutout": 0.0,
    "data.randaugment_ops": 0,
    "data.random_erasing": 0.0,
    "data.mixup": 0.0,
    "data.cutmix": 0.0,
    "data.augment_device": "cpu",
    "run.save_predictions": False,
    "video.frames": 0,
    "video.clips": 1,
    "optim.head_lr": 1.0,
    "optim.layer_decay": 1.0,
    "distill.teacher": "",
    "run.compile": False,
}
"""Settings that a detector has no use for, with the value that means so."""


def train_detector(request: TransferRequest, run: Path, *, resume: bool = False) -> dict[str, Any] | None:
    """Train a detector on a pretrained backbone and return the run's summary; None on all ranks but the first.

    Besides what any run has, the run's folder gets skipped_boxes.csv; val_classes.csv has each class's average
    precision.

    Raises:
        DatasetError: the data, the checkpoint or the run's folder is not usable.
        ModuleNotFoundError: pycocotools is not installed.
        Preempted: SIGTERM or Ctrl-C ended the run; a checkpoint was written, and no summary.
    """
    require_metric()
    check_request(request.data)
    if request.probe or request.keep_features:
        raise TrainError("--task detection trains all of a detector; leave --probe and --keep-features out")
    require_apart(request.data.path, run)
    start = start_values(request)
    start.pop(IMAGE_SIZE, None)  # the recipe's counts: a classifier's images are small
    choice = Choice(request.recipe or open_recipe(RECIPE), request.values, start, is_named=request.recipe is not None)
    keep_empty = choice.config.detection.empty_images
    task = Task(resolve_detector, open_box_session, BoxTrainer)
    return train_on(lambda: open_boxes(request.data, keep_empty=keep_empty), run, choice, resume=resume, task=task)


def open_boxes(request: DataRequest, *, keep_empty: bool = False) -> BoxData:
    """Return the images and boxes that a user asks for.

    Raises:
        TrainError: they are not in COCO's format, or are damaged.
    """
    check_request(request)
    root = Path(request.path)
    if not root.is_dir():
        raise TrainError(f"{root}: there is no such folder; detection takes one with COCO's annotations")
    found = open_coco_boxes(root, request.annotations, request.val, request.val_share, keep_empty=keep_empty)
    return replace(found, val_share=request.val_share)


def check_request(request: DataRequest) -> None:
    """Refuse options for which boxes have no use.

    Raises:
        TrainError: there is one.
    """
    if request.layout not in (AUTO, "coco"):
        raise TrainError(f"--layout {request.layout} has no boxes; detection takes data in COCO's layout")
    if request.images:
        raise TrainError("data of the layout coco have no use for --images; leave it out")


def resolve_detector(config: Config, _: TrainingData, ranks: Ranks) -> Config:
    """Return a configuration with timm's name of the model, its normalization and the workers.

    Raises:
        TrainError: the recipe is one for classifiers, or sets something that a detector has no use for.
    """
    if config.detection.head == NO_HEAD:
        raise TrainError(f"the recipe is one for classifiers: its detection.head is none; give --recipe {RECIPE}")
    values = flatten(config.to_dict())
    for key, neutral in _UNUSED.items():
        if values[key] != neutral:
            raise TrainError(f"{key}={values[key]!r} is not for detectors; leave it at {neutral!r}")
    if not config.data.image_size:
        raise TrainError("detection needs the short side of its images; pass --image-size")
    sizes = sizes_of(config)
    images = max(config.data.batch_size // ranks.world_size, config.data.eval_batch_size)
    run = with_workers(config.run, ranks, images, max(sizes.side, sizes.longest))
    return replace(config, model=resolve_model(config.model), run=run)


class BoxTrainer(Trainer):
    """One rank's part in a detector's run."""

    def train(self) -> None:
        """Train to the end of the run or until a signal stops it; every rank must call it."""
        self._group = cpu_group(self.session.ranks)
        if self.session.ranks.is_first:
            write_skipped_boxes(self.run, self._data)
        super().train()

    @property
    def _data(self) -> BoxData:
        return box_data(self.session.dataset)

    def open_stream(self, start_step: int, clock: WaitClock) -> AbstractContextManager[Iterator[StepBatch]]:
        """Return the context that gives the batches from a step on, on the device."""
        session = self.session
        return box_stream(session.dataset, session.plan, session.config, session.ranks.device, start_step, clock)

    def evaluate(self, stop: Callable[[], bool]) -> BoxEvaluation:
        """Evaluate the detector on the val split, and write the scores of each class."""
        session = cast(BoxSession, self.session)
        found = evaluate_boxes(session.detector, self._data, session.config, session.ranks, self._group, stop)
        if found.scores is not None:
            write_box_scores(self.run, self._data, found.scores)
        return found

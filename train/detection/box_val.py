"""A val pass of a detector: COCO's metric on the val split, the same on any number of ranks."""

import csv
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from in21k.shards_manifest.errors import escaped
from in21k.shards_manifest.storage.local_files import atomic_path
from in21k.train.config.settings import Config
from in21k.train.data.open_datasets.boxes import BoxData
from in21k.train.data.partition import EvalPlan
from in21k.train.detection.box_stream import BoxBatch, box_stream
from in21k.train.detection.coco_metric import CocoScores, ImageBoxes, coco_scores
from in21k.train.detection.detector import Detector, Found, detect
from in21k.train.device.ranks import Ranks
from in21k.train.errors import TrainError
from in21k.train.evaluation.val_pass import Interrupted
from in21k.train.model.on_device import evaluating
from in21k.train.run.folder import VAL_CLASSES
from in21k.train.stream.decoder import check_skipped


@dataclass(frozen=True, eq=False)
class BoxEvaluation:
    """The result of a val pass; ranks other than the first have no scores."""

    scores: CocoScores | None
    images: int
    """Images that decode."""
    skipped: int
    """Images that do not."""
    skipped_keys: tuple[str, ...] = ()
    """Those of them that this rank met."""
    loss: None = None
    """torchvision's detectors compute no loss in evaluation."""
    semantic_top1: None = None

    @property
    def curve(self) -> Mapping[str, float | None]:
        """The metric that the curves show."""
        return {"map": self.scores.numbers["map"]} if self.scores else {}

    def to_dict(self, _: Any = None) -> dict[str, Any]:
        """Return plain values for the summary: COCO's twelve numbers."""
        numbers = self.scores.numbers if self.scores else {}
        found = {f"val_{name}": value for name, value in numbers.items()}
        return {"val_images": self.images, "val_skipped": self.skipped, **found}


def evaluate_boxes(
    detector: Detector,
    data: BoxData,
    config: Config,
    ranks: Ranks,
    group: Any = None,
    stop: Callable[[], bool] = lambda: False,
) -> BoxEvaluation:
    """Return the evaluation of a detector on the val split; every rank must call it.

    Args:
        detector: to evaluate; it is left in eval mode.
        data: with the val split.
        config: its sizes, batch size and precision.
        ranks: this rank among the others.
        group: what `cpu_group` returned.
        stop: called for each batch, equally often on all ranks, and must return the same on all of them.

    Raises:
        TrainError: no image decodes, or too many do not.
        Interrupted: `stop` returned True.
    """
    for buffer in detector.network.module.buffers():
        ranks.broadcast(buffer)  # batch norm's running statistics differ between ranks
    total = data.samples("val")
    plan = EvalPlan(total, min(config.data.eval_batch_size, total), ranks.rank, ranks.world_size)
    found: dict[int, ImageBoxes] = {}
    keys: list[str] = []
    with (
        evaluating(detector.network, ranks.device, config.run),
        box_stream(data, plan, config, ranks.device) as batches,
    ):
        for batch in batches:
            found |= _found(batch, detect(detector, batch.images) if len(batch) else [])
            keys += batch.skipped
            if stop():
                raise Interrupted
    counts = torch.tensor([len(found), len(keys)], dtype=torch.int64, device=ranks.device)
    images, skipped = map(int, ranks.sum(counts).tolist())
    if not images:
        raise TrainError(f"{data.name}: none of the {skipped} val images decodes")
    check_skipped(skipped, images + skipped, passes=1, share=config.data.max_skipped, name=f"{data.name}, val")
    everything = _gathered(found, ranks, group)
    scores = coco_scores(data.boxes["val"], everything, len(data.classes)) if ranks.is_first else None
    return BoxEvaluation(scores, images, skipped, tuple(keys))


def _found(batch: BoxBatch, answers: list[Found]) -> dict[int, ImageBoxes]:
    """Return what was found in each image of a batch, in pixels of its file."""
    return {
        row: ImageBoxes(
            boxes=each.boxes.cpu().numpy().astype(np.float64) / np.array(scale * 2),
            classes=each.classes.cpu().numpy(),
            scores=each.scores.cpu().numpy().astype(np.float64),
        )
        for row, scale, each in zip(batch.rows, batch.scales, answers, strict=True)
    }


def _gathered(found: dict[int, ImageBoxes], ranks: Ranks, group: Any) -> dict[int, ImageBoxes]:
    """Return what all ranks found, on the first; nothing on the others."""
    if ranks.world_size == 1:
        return found
    parts: list[Any] | None = [None] * ranks.world_size if ranks.is_first else None
    dist.gather_object(found, parts, dst=0, group=group)
    return {row: each for part in parts or () for row, each in part.items()}


def write_box_scores(run: Path, data: BoxData, scores: CocoScores) -> None:
    """Write RUN/val_classes.csv: a row per class in order of class index, with its boxes and its average precision.

    Average precision, 0 to 1, is over all overlaps and at 0.5; empty for classes without val boxes.
    """
    counts = zip(data.box_counts("train").tolist(), data.box_counts("val").tolist(), strict=True)
    with atomic_path(run / VAL_CLASSES) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        header = ["class_index", "class", "boxes_train", "boxes_val", "average_precision", "average_precision50"]
        rows.writerow(header)
        for index, (name, boxes, own) in enumerate(zip(data.classes, counts, scores.by_class.tolist(), strict=True)):
            rows.writerow([index, escaped(name), *boxes, *("" if math.isnan(each) else each for each in own)])

"""A trained detector with the names of its classes, and its scores on data."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from in21k.shards_manifest.errors import one_line
from in21k.train.config.detection_settings import NO_HEAD
from in21k.train.config.overrides import with_values
from in21k.train.config.settings import RunConfig
from in21k.train.data.held_out import held_out_text, open_held_out
from in21k.train.data.open_data import DataRequest
from in21k.train.detection.box_stream import sizes_of
from in21k.train.detection.box_val import evaluate_boxes
from in21k.train.detection.coco_metric import require_metric
from in21k.train.detection.detector import Detector, build_detector
from in21k.train.detection.training import open_boxes
from in21k.train.device.backend import prepare_backend
from in21k.train.device.header import data_text, model_text, print_header, step_text
from in21k.train.device.ranks import Ranks, cpu_group, join_ranks
from in21k.train.errors import TrainError
from in21k.train.evaluation.val_bar import ValBar
from in21k.train.model.model_file import ModelMetadata, check_classes, load_tensors, read_metadata
from in21k.train.model.on_device import prepare_network
from in21k.train.run.checkpoint import find_model
from in21k.train.run.folder import trained_on
from in21k.train.run.resolve import with_workers
from in21k.train.use.class_table import ClassTable, find_class_table


@dataclass(frozen=True, eq=False)
class TrainedDetector:
    """A detector on the CPU and in eval mode, its metadata and its classes."""

    path: Path
    """The model file."""
    metadata: ModelMetadata
    detector: Detector
    classes: ClassTable

    def on(self, ranks: Ranks) -> Detector:
        """Return the detector on a rank's device."""
        return replace(self.detector, network=prepare_network(self.detector.network, ranks))


def open_detector(checkpoint: Path, data: str = "", hierarchy: str = "", *, raw: bool = False) -> TrainedDetector:
    """Return the detector of a checkpoint.

    Args:
        checkpoint: a run's folder, a checkpoint's, or a model file.
        data: folder or URI of the dataset that names the classes, if no table is beside the model.
        hierarchy: path or URI of the table.
        raw: prefer the weights themselves to their EMA.

    Raises:
        DatasetError: the model file or the table cannot be read, or their classes differ.
    """
    path = find_model(checkpoint, raw=raw)
    metadata = read_metadata(path)
    config = metadata.config
    if config.detection.head == NO_HEAD:
        raise TrainError(f"{path} is a classifier, not a detector; leave --task detection out")
    classes = find_class_table(path, data, hierarchy)
    classes.check(path, metadata.class_list_sha256)
    model = replace(config.model, pretrained=False, init="", frozen_stages=0)
    detector = build_detector(replace(config, model=model), metadata.num_classes)
    try:
        detector.network.load(load_tensors(path))
    except RuntimeError as error:
        raise TrainError(f"{path} does not fit a detector of {metadata.model}: {one_line(error)}") from error
    detector.network.module.eval()
    return TrainedDetector(path, metadata, detector, classes)


def evaluate_detector(
    request: DataRequest, checkpoint: Path, values: Mapping[str, Any], *, raw: bool = False
) -> dict[str, Any] | None:
    """Return COCO's metric of a detector on the val images of data; None on all ranks but the first.

    Args:
        request: data in COCO's layout.
        checkpoint: as for `open_detector`.
        values: settings that replace the detector's own, by dotted key.
        raw: evaluate the weights themselves instead of their EMA.

    Raises:
        DatasetError: the data or the detector cannot be read.
        TrainError: there are no val images, or the classes are others.
    """
    require_metric()
    model = open_detector(checkpoint, raw=raw)
    config = with_values(replace(model.metadata.config, run=RunConfig()), values)
    with join_ranks(config.run.device) as ranks:
        prepare_backend(config.run, ranks.device, few_shapes=False)
        trained = trained_on(checkpoint)
        data = open_held_out(open_boxes, request, trained)
        if not data.samples("val"):
            raise TrainError(f"{data.name} has no val images to evaluate on")
        check_classes(model.path, model.metadata, len(data.classes), data.class_list_sha256)
        images = config.data.eval_batch_size
        config = replace(config, run=with_workers(config.run, ranks, images, sizes_of(config).longest))
        detector = model.on(ranks)
        facts = {
            "model": model_text(config.model.name, detector.network.module),
            "weights": str(model.path),
            "data": data_text(data.name, len(data.classes), {"val": data.samples("val")})
            + held_out_text(data, request, trained),
            "step": step_text(images * ranks.world_size, ranks),
        }
        print_header(ranks, config.run, facts)
        with ValBar(data.samples("val"), images * ranks.world_size, shown=ranks.is_first) as bar:
            found = evaluate_boxes(detector, data, config, ranks, cpu_group(ranks), bar.batch_done)
    names = {"checkpoint": str(model.path), "model": config.model.name}
    return {**names, **found.to_dict()} if ranks.is_first else None

"""The scores of a model on the val split of a prepared dataset, whether the model is ours or published."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from in21k.shards_manifest.command.progress import tell
from in21k.shards_manifest.prediction_tables import PREDICTIONS
from in21k.train.arrays import FloatArray
from in21k.train.config.settings import Config, DataConfig, LossConfig, RunConfig, VideoConfig
from in21k.train.config.sizes import only_size
from in21k.train.data.held_out import TrainedOn, held_out_text, left_out_of, open_held_out
from in21k.train.data.interfaces import TrainingData
from in21k.train.data.open_data import SHARDS, DataRequest, open_to_evaluate
from in21k.train.data.prepared.dataset import Dataset
from in21k.train.device.backend import prepare_backend
from in21k.train.device.header import data_text, model_text, print_header, step_text
from in21k.train.device.ranks import Ranks, join_ranks
from in21k.train.errors import TrainError
from in21k.train.evaluation.per_class import worst_classes
from in21k.train.evaluation.predictions import (
    Saved,
    has_too_many_scores,
    require_predictions_place,
    saved_predictions,
    write_classes_beside,
)
from in21k.train.evaluation.report.answers import AnswerCollector
from in21k.train.evaluation.report.explorer import write_explorer
from in21k.train.evaluation.report.folder import EXPLORER, require_report_place, write_report
from in21k.train.evaluation.val_bar import ValBar
from in21k.train.evaluation.val_pass import Watcher, evaluate_val
from in21k.train.losses.schemes import build_loss, check_labels
from in21k.train.model.hub import Wanted, fetch_on_ranks
from in21k.train.model.level_order import level_order
from in21k.train.model.model_file import check_classes, load_network, read_metadata
from in21k.train.model.network import Network
from in21k.train.model.on_device import prepare_network
from in21k.train.model.published import PublishedModel, published_network, published_settings
from in21k.train.run.checkpoint import find_model
from in21k.train.run.folder import trained_on
from in21k.train.run.resolve import resolve_size, with_workers
from in21k.train.stream.source import read_options

IMAGES = VideoConfig()
"""Of a model that takes no videos."""


@dataclass(frozen=True, eq=False)
class OpenedModel:
    """A network to evaluate."""

    network: Network
    """On the CPU, its classes in the dataset's level order."""
    image_size: int
    """Side of the images in pixels."""
    loss: LossConfig
    """The scheme that decides the loss and the metrics."""
    names: Mapping[str, str]
    """What the summary says about the model."""
    interpolation: str = "bicubic"
    """How images of another size are resized."""
    video: VideoConfig = IMAGES
    """What it takes of videos."""


@dataclass(frozen=True)
class EvaluationFiles:
    """What an evaluation leaves behind beside its summary."""

    output: Path | None = None
    """The folder that gets the scores, the tables of predictions, on a hierarchy the curve of the answers and their
    errors by subtree, and of images that in21k-prep did not prepare the explorer."""
    predictions: Path | None = None
    """The table of predictions; by default in `output`, if that is given."""
    worst: int = 0
    """How many of the worst classes the summary names."""

    @property
    def table(self) -> Path | None:
        """The table of predictions to write; None for none."""
        return self.predictions or (self.output and self.output / PREDICTIONS)

    def require_places(self) -> None:
        """Refuse places that hold what no evaluation wrote, before anything is computed.

        Raises:
            DatasetError: they do.
            TrainError: they do.
        """
        if self.output is not None:
            require_report_place(self.output)
        if self.table is not None:
            require_predictions_place(self.table)


NO_FILES = EvaluationFiles()

ModelOpener = Callable[[TrainingData, int], OpenedModel]
"""Opens a model for a dataset at an image size, 0 for the model's own or else the dataset's."""


def evaluate(
    data: str | DataRequest,
    open_model: ModelOpener,
    settings: DataConfig,
    run: RunConfig,
    files: EvaluationFiles = NO_FILES,
    clips: int | None = None,
    wanted: Sequence[Wanted] = (),
) -> dict[str, Any] | None:
    """Return the scores of a model on the val split of a dataset; None on all ranks but the first.

    Args:
        data: the dataset's folder or URI, or what a request asks.
        open_model: `trained_model(…)` or `published_model(…)`.
        settings: image size and eval batch size, which counts frames of videos.
        run: device, precision, workers.
        files: what to write and to name beside the scores.
        clips: of each video; None takes those that the model was trained with.
        wanted: weights to fetch first.

    Raises:
        DatasetError: the dataset cannot be read, or the folder holds what another command wrote.
        TrainError: there are no val images, the model cannot be opened, or its classes do not fit the dataset's.
    """
    with join_ranks(run.device) as ranks:
        prepare_backend(run, ranks.device)
        fetch_on_ranks(wanted, ranks)
        asked = data if isinstance(data, DataRequest) else DataRequest(data, layout=SHARDS)
        trained = trained_on(asked.checkpoint) if asked.checkpoint else None
        dataset = _opened(asked, trained)
        files.require_places()
        model = open_model(dataset, only_size(settings.image_size, "an evaluation"))
        check_labels(model.loss.scheme, dataset)
        network = prepare_network(model.network, ranks)
        config = _config(model, settings, run, ranks, clips)
        loss = build_loss(model.loss, network.order, dataset.label_sets).to(ranks.device)
        _print_header(model, dataset, config, ranks, asked, trained)
        watched = _Watched(files, dataset, network, config.loss.scheme, ranks)
        batch = config.data.eval_batch_size * ranks.world_size
        with (
            dataset.cached(read_options(config.data)),
            watched.watching() as watch,
            ValBar(dataset.samples("val"), batch, shown=ranks.is_first) as bar,
        ):
            evaluation = evaluate_val(network, loss, dataset, config, ranks, stop=bar.batch_done, watch=watch)
        return watched.finish({**model.names, **evaluation.to_dict(dataset)}, evaluation.by_class.values)


def _opened(asked: DataRequest, trained: TrainedOn | None) -> TrainingData:
    """Return data with val images to evaluate on."""
    data = open_held_out(open_to_evaluate, asked, trained)
    if not data.samples("val"):
        why = " (in21k-prep made it with --val-per-class 0)" if isinstance(data, Dataset) else ""
        raise TrainError(f"{asked.path} has no val images to evaluate on{why}")
    return data


def _print_header(
    model: OpenedModel,
    data: TrainingData,
    config: Config,
    ranks: Ranks,
    asked: DataRequest,
    trained: TrainedOn | None,
) -> None:
    """Say which model is evaluated on what, and how its val images came to be held out."""
    names, unit = model.names, "videos" if config.video.frames else "images"
    facts = {
        "model": model_text(names["model"], model.network.module),
        "weights": str(names.get("checkpoint") or names.get("weights") or "timm's"),
        "data": data_text(data.name, len(data.hierarchy), {"val": data.samples("val")}, unit)
        + held_out_text(data, asked, trained),
        "step": step_text(config.data.eval_batch_size * ranks.world_size, ranks, unit=unit),
    }
    print_header(ranks, config.run, facts, left_out_of(data))
    if ranks.is_first and trained and (warning := trained.warning(data, asked.path)):
        tell(warning)


class _Watched:
    """What an evaluation writes and names beside its scores."""

    def __init__(self, files: EvaluationFiles, data: TrainingData, network: Network, scheme: str, ranks: Ranks) -> None:
        self._files, self._data, self._network, self._scheme, self._ranks = files, data, network, scheme, ranks
        self._saved: Saved | None = None
        draws = files.output is not None and data.is_single_label and data.hierarchy.num_levels > 1
        self._answers = AnswerCollector(data, network.order, scheme, ranks) if draws else None

    @property
    def _has_page(self) -> bool:
        """Whether the data are images that the explorer shows, and `in21k-prep report` does not."""
        return (
            self._data.is_single_label and not isinstance(self._data, Dataset) and not self._data.decoding(1).is_video
        )

    @contextmanager
    def watching(self) -> Iterator[Watcher | None]:
        """Write the table of predictions within the block, and give what takes the batches."""
        if self._files.table is None and not self._files.worst:
            yield None
            return
        data, path, is_of_sets = self._data, self._files.table, not self._data.is_single_label
        if is_of_sets and path and not self._files.predictions and has_too_many_scores(path, data, self._ranks):
            path = None
        with saved_predictions(path, data, self._network, self._scheme, self._ranks, of_sets=is_of_sets) as saved:
            self._saved = saved
            yield self._update

    def _update(self, logits: torch.Tensor, ids: torch.Tensor, valid: torch.Tensor) -> None:
        if self._saved is not None:
            self._saved.update(logits, ids, valid)
        if self._answers is not None:
            self._answers.update(logits, ids, valid)

    def finish(self, summary: dict[str, Any], precisions: FloatArray) -> dict[str, Any] | None:
        """Write the other files, and return the summary; None on all ranks but the first. Every rank must call it."""
        answers, output = self._answers.gather() if self._answers else None, self._files.output
        if not self._ranks.is_first or self._saved is None:
            return summary if self._ranks.is_first else None
        if output is not None:
            write_report(output, summary, answers, self._data.hierarchy_table()["name"].to_pylist())
        table = write_classes_beside(self._saved, self._data, self._network, precisions, output)
        if output is not None and self._has_page and self._saved.path is not None:
            write_explorer(output / EXPLORER, self._data, self._saved.path, table, output.resolve().name)
            summary["page"] = str(output / EXPLORER)
        if self._saved.path is not None:
            summary["predictions"] = str(self._saved.path)
        if self._files.worst:
            summary["worst_classes"] = worst_classes(table, self._files.worst)
        return summary


def _config(model: OpenedModel, settings: DataConfig, run: RunConfig, ranks: Ranks, clips: int | None) -> Config:
    """Return the configuration of an evaluation."""
    video = model.video
    if clips is not None and not video.frames:
        raise TrainError("the model takes images, of which there are no clips; leave --clips out")
    video = replace(video, clips=clips or video.clips)
    rows = max(video.frames * video.clips, 1)
    samples = max(settings.eval_batch_size // rows, 1)
    return Config(
        data=replace(settings, image_size=model.image_size, interpolation=model.interpolation, eval_batch_size=samples),
        loss=model.loss,
        run=with_workers(run, ranks, samples * rows, model.image_size),
        video=video,
    )


def trained_model(checkpoint: Path, *, raw: bool = False) -> ModelOpener:
    """Return the opener of a model of ours, whose classes must be the dataset's.

    Args:
        checkpoint: a run's folder, a checkpoint's folder or a model file.
        raw: take the weights themselves where the run keeps their EMA, too.

    Raises:
        TrainError: there is no model file, or it cannot be read.
    """
    path = find_model(checkpoint, raw=raw)
    metadata = read_metadata(path)

    def _open(data: TrainingData, image_size: int) -> OpenedModel:
        check_classes(path, metadata, len(data.hierarchy), data.class_list_sha256)
        size = image_size or metadata.image_size
        network = load_network(path, level_order(data.hierarchy), size, takes_clips=True)
        config, names = metadata.config, {"checkpoint": str(path), "model": metadata.model}
        return OpenedModel(network, size, config.loss, names, config.data.interpolation, config.video)

    return _open


def published_model(model: PublishedModel) -> ModelOpener:
    """Return the opener of a published model; of its classifier's rows, those of the dataset's classes are kept.

    Its metrics are those of semantic softmax.

    Raises:
        TrainError: the weights are neither named nor timm's.
    """
    settings = published_settings(model)
    weights = str(model.weights) if model.weights else "timm's"

    def _open(data: TrainingData, image_size: int) -> OpenedModel:
        size = resolve_size(image_size, data)
        network = published_network(settings, model.weights, data.hierarchy, size)
        return OpenedModel(network, size, LossConfig(), {"model": network.name, "weights": weights})

    return _open

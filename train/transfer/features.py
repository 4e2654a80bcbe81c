"""Features: the inputs of a network's classifier for every image of a split, from one pass over the stream."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from in21k.shards_manifest.command.numbers import bytes_text
from in21k.shards_manifest.command.progress import Progress
from in21k.shards_manifest.storage.local_files import atomic_path
from in21k.train.config.settings import Config
from in21k.train.data.interfaces import TrainingData
from in21k.train.data.partition import EvalPlan
from in21k.train.device.ranks import Ranks
from in21k.train.errors import TrainError
from in21k.train.model.layers import watched
from in21k.train.model.model_file import write_tensors
from in21k.train.model.network import Network
from in21k.train.model.on_device import evaluating
from in21k.train.stream.decoder import check_skipped
from in21k.train.stream.device_stream import device_stream
from in21k.train.stream.source import plain_source
from in21k.train.stream.worker_count import available_memory
from in21k.train.transfer.linear_objective import Labels

FEATURES = "features.safetensors"
"""The file of a run that keeps its features."""


@dataclass(frozen=True, eq=False)
class Features:
    """The features of the N images of a split that decode."""

    values: Tensor
    """float32 [N, D], on the device where they fit, else on the CPU."""
    label_ids: Tensor
    """int64 [N]: rows of the data's label sets, on the device."""
    skipped: int
    """Images that do not decode."""
    missing: tuple[int, ...] = ()
    """Their numbers in the split, which the rows of the others leave out."""


def classifier_of(network: Network) -> nn.Linear | nn.Conv2d:
    """Return the layer that computes the logits.

    Raises:
        TrainError: it is not a single linear layer with a bias.
    """
    owners = {name.rpartition(".")[0] for name in network.head}
    layer = network.module.get_submodule(owners.pop()) if len(owners) == 1 else None
    if not isinstance(layer, (nn.Linear, nn.Conv2d)) or layer.bias is None:
        raise TrainError(
            "the model's classifier is not a single linear layer with a bias; fine-tune it, without --probe and --knn"
        )
    return layer


class FeatureRows:
    """Features in one block of memory, filled batch by batch: no copy of all of them is ever made."""

    def __init__(self, images: int, device: torch.device, room: int) -> None:
        """Wait for the first batch, which says how many features an image has.

        Args:
            images: the most that there can be.
            device: where features arrive.
            room: bytes of the device's memory to leave free.
        """
        self._images, self._device, self._room = images, device, room
        self._values = torch.empty(0, 0)
        self._label_ids = torch.empty(images, dtype=torch.int64, device=device)
        self._filled = 0

    def add(self, values: Tensor, label_ids: Tensor) -> None:
        """Add the features of a batch, [n, D], of any float type, and its label ids, int64 [n].

        Raises:
            TrainError: the features of all images fit into no memory.
        """
        if not self._filled:
            shape = self._images, values.shape[1]
            self._values = torch.empty(shape, device=place_for(shape, self._device, self._room))
        rows = slice(self._filled, self._filled + len(values))
        self._values[rows] = values
        self._label_ids[rows] = label_ids
        self._filled += len(values)

    def __len__(self) -> int:
        return self._filled

    def features(self, skipped: int, missing: Sequence[int] = ()) -> "Features":
        """Return the features added so far; they share this memory."""
        return Features(self._values[: self._filled], self._label_ids[: self._filled], skipped, tuple(missing))


def place_for(shape: tuple[int, int], device: torch.device, room: int) -> torch.device:
    """Return where to keep float32 features of a shape: on a GPU if they fit there, else in this machine's memory.

    Args:
        shape: [N, D].
        device: that they come from.
        room: bytes of a GPU's memory to leave free.

    Raises:
        TrainError: they are more than this machine's memory.
    """
    size = 4 * shape[0] * shape[1]
    if device.type == "cuda" and size + room <= torch.cuda.mem_get_info(device)[0]:
        return device
    if size > available_memory():
        raise TrainError(
            f"{shape[1]:,} features of {shape[0]:,} images take {bytes_text(size)}, more than this machine's memory; "
            "take fewer images, or fine-tune, without --probe and --knn"
        )
    return torch.device("cpu")


def extract(network: Network, data: TrainingData, split: str, config: Config, ranks: Ranks, room: int = 0) -> Features:
    """Return the features of a split, none if it is empty, without augmentation; the network is left in eval mode.

    Args:
        network: on the device.
        data: the images.
        split: train or val.
        config: image size, eval batch size, workers, precision.
        ranks: a single rank.
        room: bytes of a GPU's memory to leave free; features that would take them are kept in this machine's memory.

    Raises:
        TrainError: no image decodes, or too many do not, or the features fit into no memory.
    """
    if not (total := data.samples(split)):
        return Features(torch.empty(0, 0), torch.empty(0, dtype=torch.int64), skipped=0)
    plan = EvalPlan(total, min(config.data.eval_batch_size, total))
    rows, skipped, missing = FeatureRows(total, ranks.device, room), 0, list[int]()
    source = plain_source(data, split, config)
    with (
        watched(classifier_of(network), inputs=True) as seen,
        evaluating(network, ranks.device, config.run),
        device_stream(source, plan, config, ranks.device) as batches,
        Progress(f"features of {split}", "image", total, shown=ranks.is_first) as bar,
    ):
        for batch in batches:
            network.module(network.inputs(batch.images, ranks.device))
            values, labels = seen.pop().flatten(1), batch.labels
            skipped += len(labels.skipped)
            here = min(plan.batch_size, total - labels.start)
            bar.update(here)
            if labels.skipped:
                rows.add(values[labels.valid], labels.class_indices[labels.valid])
                missing += [labels.start + row for row in (~labels.valid[:here]).nonzero().flatten().tolist()]
            else:  # to ask the device which rows are valid would make every batch wait for it
                rows.add(values[:here], labels.class_indices[:here])
    if not len(rows):
        raise TrainError(f"{data.name}: none of the {skipped} {split} images decodes")
    check_skipped(skipped, seen=total, passes=1, share=config.data.max_skipped, name=f"{data.name}, {split}")
    return rows.features(skipped, missing)


def labels_of(features: Features, data: TrainingData, device: torch.device) -> Labels:
    """Return the classes of the images, on a device."""
    sets = None
    if not data.is_single_label:
        sets = torch.from_numpy(np.ascontiguousarray(data.label_sets)).to(device)
    return Labels(features.label_ids.to(device), len(data.hierarchy), sets)


def write_features(run: Path, **splits: Features) -> None:
    """Write RUN/features.safetensors: `SPLIT/features` and `SPLIT/label_ids` of each split."""
    tensors = {
        f"{split}/{name}": tensor
        for split, features in splits.items()
        for name, tensor in (("features", features.values), ("label_ids", features.label_ids))
    }
    with atomic_path(run / FEATURES) as temporary:
        write_tensors(temporary, tensors)

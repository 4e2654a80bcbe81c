"""Features: the inputs of a network's classifier for every image of a split, from one pass over the stream."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from in21k.train.config.settings import Config
from in21k.train.data.interfaces import TrainingData
from in21k.train.data.partition import EvalPlan
from in21k.train.device.ranks import Ranks
from in21k.train.errors import TrainError
from in21k.train.model.network import Network
from in21k.train.model.on_device import evaluating
from in21k.train.stream.decoder import check_skipped
from in21k.train.stream.device_stream import device_stream
from in21k.train.stream.source import plain_source


@dataclass(frozen=True, eq=False)
class Features:
    """The features of the N images of a split that decode."""

    values: Tensor
    """float32 [N, D], on the CPU."""
    label_ids: Tensor
    """int64 [N]: rows of the data's label sets."""
    skipped: int
    """Images that do not decode."""


def classifier_of(network: Network) -> nn.Module:
    """Return the layer that computes the logits.

    Raises:
        TrainError: it is not a single linear layer with a bias.
    """
    owners = {name.rpartition(".")[0] for name in network.head}
    layer = network.module.get_submodule(owners.pop()) if len(owners) == 1 else None
    if not isinstance(layer, (nn.Linear, nn.Conv2d)) or layer.bias is None:
        raise TrainError(
            "the model's classifier is not a single linear layer with a bias; fine-tune it, without --probe"
        )
    return layer


def extract(network: Network, data: TrainingData, split: str, config: Config, ranks: Ranks) -> Features:
    """Return the features of a split, none if it is empty, without augmentation; the network is left in eval mode.

    Args:
        network: on the device.
        data: the images.
        split: train or val.
        config: image size, eval batch size, workers, precision.
        ranks: a single rank.

    Raises:
        TrainError: no image decodes, or too many do not.
    """
    if not data.samples(split):
        return Features(torch.empty(0, 0), torch.empty(0, dtype=torch.int64), skipped=0)
    plan = EvalPlan(data.samples(split), config.data.eval_batch_size)
    source = plain_source(data, split, config)
    seen: list[Tensor] = []
    hook = classifier_of(network).register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    found: list[tuple[Tensor, Tensor]] = []
    skipped = 0
    try:
        with (
            evaluating(network, ranks.device, config.run),
            device_stream(source, plan, config, ranks.device) as batches,
        ):
            for batch in batches:
                network.module(network.inputs(batch.images, ranks.device))
                values = seen.pop().flatten(1)[batch.labels.valid].float().cpu()
                found.append((values, batch.labels.class_indices[batch.labels.valid].cpu()))
                skipped += len(batch.labels.skipped)
    finally:
        hook.remove()
    if not sum(len(values) for values, _ in found):
        raise TrainError(f"{data.name}: none of the {skipped} {split} images decodes")
    check_skipped(skipped, seen=plan.total, passes=1, share=config.data.max_skipped, name=f"{data.name}, {split}")
    values, labels = (torch.cat(parts) for parts in zip(*found, strict=True))
    return Features(values, labels, skipped)


def targets_of(features: Features, data: TrainingData) -> Tensor:
    """Return float32 [N, C]: 1 for the classes of each image."""
    sets = torch.from_numpy(np.ascontiguousarray(data.label_sets))[features.label_ids]
    targets = torch.zeros(len(sets), len(data.hierarchy) + 1)  # one more column, for the padding
    return targets.scatter_(1, sets % targets.shape[1], 1.0)[:, :-1]


def as_tensors(**splits: Features) -> dict[str, Any]:
    """Return features as named tensors, to be written to a file."""
    return {
        f"{split}/{name}": tensor
        for split, features in splits.items()
        for name, tensor in (("features", features.values), ("label_ids", features.label_ids))
    }

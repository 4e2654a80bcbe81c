"""The exponential moving average of a network's weights, which is evaluated in their place."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from in21k.train.errors import TrainError
from in21k.train.model.network import Network
from in21k.train.model.weights import Weights


class WeightAverage:
    """The average of a network's parameters, float32 on their device; buffers are the network's own.

    After step t (from 0) the average moves by 1 − min(decay, (1 + t) / (10 + t)) towards the weights: the first
    weights, which are random, fade as fast as they can.
    """

    def __init__(self, network: Network, decay: float) -> None:
        self._network = network
        self._decay = decay
        self._parameters = dict(network.module.named_parameters())
        self._averages = {name: each.detach().float().clone() for name, each in self._parameters.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after a step."""
        decay = min(self._decay, (1 + step) / (10 + step))
        current = [each.detach() for each in self._parameters.values()]
        torch._foreach_lerp_(list(self._averages.values()), current, 1 - decay)

    def weights(self) -> Weights:
        """Return the averages and the network's buffers by name, classes in class order."""
        averages = {name: self._network.to_classes(name, each) for name, each in self._averages.items()}
        return {**self._network.weights(), **averages}

    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Take averages as `weights` gave them.

        Raises:
            TrainError: they are of another model.
        """
        for name, average in self._averages.items():
            if name not in weights or weights[name].shape != average.shape:
                raise TrainError(f"the average of {name!r} is missing or of another model")
            average.copy_(self._network.to_rows(name, weights[name]))

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Exchange the network's parameters for their averages within the block."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    @torch.no_grad()
    def _exchange(self) -> None:
        for name, parameter in self._parameters.items():
            raw = parameter.detach().clone()
            parameter.copy_(self._averages[name])
            self._averages[name].copy_(raw)

"""The exponential moving average (EMA) of a network's weights, which is evaluated in their place."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from in21k.train.errors import TrainError
from in21k.train.model.network import Network
from in21k.train.model.weights import Weights


class WeightEma:
    """The EMA of a network's parameters, in float32 on their device; buffers are the network's own.

    After a step it moves by 1 − decay towards the weights. With a warm-up, the decay is min(decay, (1 + t) / (10 + t))
    after step t (from 0), so that the random first weights fade quickly.
    """

    def __init__(self, network: Network, decay: float, *, warmup: bool = True) -> None:
        self._network = network
        self._decay, self._warmup = decay, warmup
        self._parameters = dict(network.module.named_parameters())
        self._emas = {name: each.detach().float().clone() for name, each in self._parameters.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move towards the weights after a step."""
        decay = min(self._decay, (1 + step) / (10 + step)) if self._warmup else self._decay
        current = [each.detach() for each in self._parameters.values()]
        torch._foreach_lerp_(list(self._emas.values()), current, 1 - decay)

    def weights(self) -> Weights:
        """Return the EMA and the network's buffers by name, classes in class order."""
        emas = {name: self._network.to_classes(name, each) for name, each in self._emas.items()}
        return {**self._network.weights(), **emas}

    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Load what `weights` returned.

        Raises:
            TrainError: the weights are of another model.
        """
        for name, ema in self._emas.items():
            if name not in weights or weights[name].shape != ema.shape:
                raise TrainError(f"the EMA of {name!r} is missing or of another model")
            ema.copy_(self._network.to_rows(name, weights[name]))

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Swap the network's parameters for their EMA within the block."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for name, parameter in self._parameters.items():
            raw = parameter.detach().clone()
            parameter.copy_(self._emas[name])
            self._emas[name].copy_(raw)

"""Checks that batches arrive on the device as the loader made them, under load."""

from typing import Any

import torch
from torch import Tensor

from gpu.check import Failed, Outcome
from gpu.made import small
from gpu.setup import Setup
from in21k.train.config.overrides import with_values
from in21k.train.config.settings import Config
from in21k.train.data.partition import TrainPlan
from in21k.train.data.prepared.dataset import open_dataset
from in21k.train.device.choice import choose_device
from in21k.train.stream.loader import open_stream
from in21k.train.stream.prefetch import on_device, passing_errors
from in21k.train.stream.source import train_source

BATCH, EPOCHS = 32, 36
SIZES = "0:16, 12:24, 20:32"
"""Batches of every size pass through the same slots."""

_CYCLES = 2_000_000
"""A millisecond or two, for which the GPU is kept from each batch."""

_LOAD_BYTES = 1 << 26


def arrive(setup: Setup, pinned: bool) -> Outcome:
    """Check hundreds of batches against those that this process makes by itself."""
    device, data = choose_device(setup.device), open_dataset(str(small(setup)))
    config = with_values(Config(), {"data.image_size": SIZES})
    source = train_source(data, config)
    plan = TrainPlan(data.shard_lengths("train"), seed=0, epochs=EPOCHS, global_batch=BATCH)
    expected = [_digest(batch.tensors()) for batch in open_stream(source, plan)]
    loaded = open_stream(source, plan, workers=setup.pick(2, 4), pinned_bytes=2**30 if pinned and setup.on_gpu else 0)
    found, load = [], _Load(device)
    with passing_errors(on_device(loaded, device)) as batches:
        for batch in batches:
            load.add()
            found.append(_digest(batch.tensors()))  # after the load: whatever touches this batch meanwhile shows
            del batch
    if len(found) != plan.total_steps:
        raise Failed(f"{len(found)} of {plan.total_steps} batches arrived")
    wrong = [
        step
        for step, pair in enumerate(zip(torch.stack(found).tolist(), torch.stack(expected).tolist(), strict=True))
        if pair[0] != pair[1]
    ]
    if wrong:
        raise Failed(f"{len(wrong)} of {len(found)} batches differ, the first at step {wrong[0]}")
    return Outcome(f"{len(found)} equal batches")


def _digest(tensors: Any) -> Tensor:
    """Return a sum, int64, that any other byte or order of bytes would change; where the tensors are."""
    images, classes, valid = tensors
    words = images.permute(0, 2, 3, 1).contiguous().flatten().view(torch.int64)
    places = torch.arange(1, len(words) + 1, device=words.device)
    total = (words * (places * -7046029254386353131)).sum()  # modulo 2**64, like everything here
    labels = torch.stack([classes, valid.to(torch.int64)]).flatten()
    digest: Tensor = total + (labels * torch.arange(3, len(labels) + 3, device=labels.device)).sum()
    return digest


class _Load:
    """Keeps a GPU and its copy engine busy: computation and copies then fall behind the loop over the batches."""

    def __init__(self, device: torch.device) -> None:
        self._device, self._steps = device, 0
        if device.type == "cuda":
            self._stream: Any = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
            self._host = torch.empty(_LOAD_BYTES, dtype=torch.uint8, pin_memory=True)
            self._target = torch.empty(_LOAD_BYTES, dtype=torch.uint8, device=device)

    def add(self) -> None:
        """Delay the current stream, and now and then the copies to the device."""
        self._steps += 1
        if self._device.type != "cuda":
            return
        torch.cuda._sleep(_CYCLES)  # type: ignore[no-untyped-call]
        if self._steps % 4 == 0:
            with torch.cuda.stream(self._stream):
                self._target.copy_(self._host, non_blocking=True)

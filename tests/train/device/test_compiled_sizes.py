"""torch.compile under image sizes that change: each is compiled once, however many there are."""

from functools import partial

import torch
from torch import nn
from torch._dynamo.utils import counters

from in21k.train.device.backend import compiled


def test_each_size_is_compiled_once(monkeypatch):
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    sizes = range(16, 16 + 4 * 12, 4)
    with torch._dynamo.config.patch(recompile_limit=8):
        module = compiled(nn.Conv2d(3, 4, 3), torch.device("cpu"), len(sizes))
        torch._dynamo.reset()
        counters.clear()
        for size in (*sizes, *sizes):
            assert module(torch.zeros(2, 3, size, size)).shape == (2, 4, size - 2, size - 2)
    assert counters["stats"]["unique_graphs"] == len(sizes)

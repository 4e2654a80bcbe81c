"""Memory that PyTorch does not get on the CPU ends training as memory that Python does not get."""

import pytest
import torch

from in21k.train.device.ranks import join_ranks


def test_memory_that_pytorch_does_not_get_is_a_memory_error():
    with pytest.raises(MemoryError, match="DefaultCPUAllocator"), join_ranks("cpu"):
        torch.empty(1 << 60, dtype=torch.uint8)

"""The largest memory that a computation takes at once, beside what it is given."""

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Largest(TorchDispatchMode):
    """Notes the largest memory that an operation's result takes, where that is not the features'."""

    def __init__(self, features: torch.Tensor) -> None:
        super().__init__()
        self.features, self.bytes = features.untyped_storage().data_ptr(), 0

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        result = function(*arguments, **(options or {}))
        for each in tree_leaves(result):
            if isinstance(each, torch.Tensor) and each.untyped_storage().data_ptr() != self.features:
                self.bytes = max(self.bytes, each.untyped_storage().nbytes())
        return result

"""Exact mean average precision over any number of classes, in memory that grows only with the number of labels.

A table of all scores would take 25 GB for the val split of ImageNet-21K. But the precision at a label's score depends
only on how many other images score at least as high in its class. So a first pass keeps the scores of the labels, a
dozen per image, and a second pass counts between which of them every other score falls.
"""

import torch
import torch.distributed as dist
from torch import Tensor

from in21k.train.device.ranks import Ranks

_PADDING = torch.iinfo(torch.int64).max


class AveragePrecision:
    """Counts, between the sorted scores of all labels, the other scores; nothing waits for the device before `seal`.

    Scores are compared only within a class, so logits serve as well as probabilities. Equal scores share one threshold:
    the precision there counts all of them, as in scikit-learn's `average_precision_score`.
    """

    def __init__(self, table: Tensor, classes: int, ranks: Ranks) -> None:
        """Begin the first pass.

        Args:
            table: int64 [N, K] on the device: the classifier rows of each id's labels, padded with -1.
            classes: C.
            ranks: this rank among the others.
        """
        self._table, self._classes, self._ranks = table, classes, ranks
        self._batches: list[Tensor] = []
        self._labels = table.new_empty(0)
        self._starts = table.new_empty(0)
        self._between = table.new_empty(0)

    def collect(self, logits: Tensor, ids: Tensor, valid: Tensor) -> None:
        """Keep the scores of a batch's labels: the first pass.

        Args:
            logits: [B, C] in level order.
            ids: int64 [B], rows of the table.
            valid: bool [B]; the others do not count.
        """
        rows = self._table[ids]
        keys = _keys(logits.gather(1, rows.clamp(min=0)), rows)
        self._batches.append(torch.where((rows >= 0) & valid[:, None], keys, _PADDING))

    def seal(self) -> None:
        """End the first pass; every rank must call it, after equally many batches of equal size."""
        keys = torch.cat(self._batches).flatten()
        self._batches.clear()
        if self._ranks.world_size > 1:
            gathered = [torch.empty_like(keys) for _ in range(self._ranks.world_size)]
            dist.all_gather(gathered, keys)
            keys = torch.cat(gathered)
        self._labels = keys[keys != _PADDING].sort().values
        first = torch.arange(self._classes + 1, device=keys.device) << 32
        self._starts = torch.searchsorted(self._labels, first)
        self._between = keys.new_zeros(len(self._labels) + self._classes)

    def count(self, logits: Tensor, ids: Tensor, valid: Tensor) -> None:
        """Count the scores of a batch that belong to no label: the second pass, over the same batches."""
        rows = torch.arange(self._classes, device=logits.device)
        below = torch.searchsorted(self._labels, _keys(logits, rows[None, :]), right=True)
        labels = self._table[ids]
        others = valid[:, None].expand(logits.shape).to(torch.int64)
        columns = torch.where(labels >= 0, labels, self._classes)  # one more column, for the padding
        others = torch.cat([others, others[:, :1]], 1).scatter_(1, columns, 0)[:, :-1]
        self._between.scatter_add_(0, (below + rows).flatten(), others.flatten())

    def result(self) -> dict[str, float]:
        """Return `map`, 0 to 1: the mean over classes with a label; every rank must call it."""
        self._ranks.sum(self._between)
        between, starts, labels = (tensor.cpu() for tensor in (self._between, self._starts, self._labels))
        sizes = starts.diff()
        classes = torch.repeat_interleave(torch.arange(self._classes), sizes)
        total = between.flip(0).cumsum(0).flip(0)  # all others from there on, of later classes too
        ends = torch.cat([total, total.new_zeros(1)])
        first = torch.searchsorted(labels, labels)  # equal scores share the index of the first
        others = ends[first + 1 + classes] - ends[starts[classes + 1] + classes + 1]
        hits = (starts[classes + 1] - first).double()
        precisions = hits / (hits + others.double())
        sums = torch.zeros(self._classes, dtype=torch.float64).scatter_add_(0, classes, precisions)
        return {"map": float((sums[sizes > 0] / sizes[sizes > 0]).mean()) if len(labels) else 0.0}


def _keys(scores: Tensor, rows: Tensor) -> Tensor:
    """Return int64 keys that sort by row, then by score in float32."""
    bits = (scores.float() + 0.0).view(torch.int32).to(torch.int64)  # + 0.0 turns -0 into 0
    return (rows << 32) + torch.where(bits < 0, ~bits, bits + (1 << 31))

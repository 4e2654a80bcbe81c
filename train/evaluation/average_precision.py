"""Exact average precision over any number of classes, in memory that grows only with the number of labels.

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

    Scores are compared within a class, or among all classes at once, which share one threshold then; either way, logits
    serve as well as probabilities. Equal scores share one threshold: the precision there counts all of them, as in
    scikit-learn's `average_precision_score`.
    """

    def __init__(
        self, table: Tensor, classes: int, ranks: Ranks, *, absent: Tensor | None = None, micro: bool = False
    ) -> None:
        """Begin the first pass.

        Args:
            table: int64 [N, K] on the device: the classifier rows of each id's labels, padded with -1.
            classes: C.
            ranks: this rank among the others.
            absent: int64 [N, K], likewise: the rows that are known to be no labels of each id, where the others that
                are none are unknown and do not count; None where all others are no labels.
            micro: whether the scores of all classes are compared with each other, as those of one class are.
        """
        self._table, self._absent, self._ranks = table, absent, ranks
        rows = torch.arange(classes, device=table.device)
        self._group = torch.zeros_like(rows) if micro else rows
        self._groups = 1 if micro else classes
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
        at = rows.clamp(min=0)
        keys = _keys(logits.gather(1, at), self._group[at])
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
        first = torch.arange(self._groups + 1, device=keys.device) << 32
        self._starts = torch.searchsorted(self._labels, first)
        self._between = keys.new_zeros(len(self._labels) + self._groups)

    def count(self, logits: Tensor, ids: Tensor, valid: Tensor) -> None:
        """Count the scores of a batch that belong to no label: the second pass, over the same batches."""
        if self._absent is not None:
            rows = self._absent[ids]
            at = rows.clamp(min=0)
            below = torch.searchsorted(self._labels, _keys(logits.gather(1, at), self._group[at]), right=True)
            known = ((rows >= 0) & valid[:, None]).to(torch.int64)
            self._between.scatter_add_(0, (below + self._group[at]).flatten(), known.flatten())
            return
        below = torch.searchsorted(self._labels, _keys(logits, self._group[None, :]), right=True)
        labels = self._table[ids]
        others = valid[:, None].expand(logits.shape).to(torch.int64)
        columns = torch.where(labels >= 0, labels, logits.shape[1])  # one more column, for the padding
        others = torch.cat([others, others[:, :1]], 1).scatter_(1, columns, 0)[:, :-1]
        self._between.scatter_add_(0, (below + self._group).flatten(), others.flatten())

    def by_class(self) -> Tensor:
        """Return the average precision of each class, or of all at once, in the order of the classifier rows.

        float64 [C], or [1], on the CPU: 0 to 1, NaN for classes without a label. Every rank must call it, and it waits
        for the device.
        """
        between = self._ranks.sum(self._between.clone())
        between, starts, labels = (tensor.cpu() for tensor in (between, self._starts, self._labels))
        sizes = starts.diff()
        groups = torch.repeat_interleave(torch.arange(self._groups), sizes)
        total = between.flip(0).cumsum(0).flip(0)  # all others from there on, of later classes too
        ends = torch.cat([total, total.new_zeros(1)])
        first = torch.searchsorted(labels, labels)  # equal scores share the index of the first
        others = ends[first + 1 + groups] - ends[starts[groups + 1] + groups + 1]
        hits = (starts[groups + 1] - first).double()
        precisions = hits / (hits + others.double())
        return torch.zeros(self._groups, dtype=torch.float64).scatter_add_(0, groups, precisions) / sizes


def mean_precision(by_class: Tensor) -> float:
    """Return the mean over the classes that have a label, 0 to 1; 0 if none has.

    Args:
        by_class: float64 [C], NaN for classes without a label.
    """
    known = by_class[~by_class.isnan()]
    return float(known.mean()) if len(known) else 0.0


def _keys(scores: Tensor, rows: Tensor) -> Tensor:
    """Return int64 keys that sort by row, then by score in float32."""
    bits = (scores.float() + 0.0).view(torch.int32).to(torch.int64)  # + 0.0 turns -0 into 0
    return (rows << 32) + torch.where(bits < 0, ~bits, bits + (1 << 31))

"""The metrics of a scheme, counted in one or two passes over the val split."""

from torch import Tensor

from in21k.train.data.interfaces import TrainingData
from in21k.train.device.ranks import Ranks
from in21k.train.evaluation.average_precision import AveragePrecision
from in21k.train.evaluation.mistakes import MistakeCounter
from in21k.train.evaluation.semantic_top1 import SemanticCounter, SemanticTop1
from in21k.train.evaluation.top_k import TopKCounter
from in21k.train.losses.multi_label import label_rows
from in21k.train.losses.schemes import MULTI_LABEL, SINGLE_LABEL
from in21k.train.model.level_order import LevelOrder


class SchemeMetrics:
    """Counts batches of logits; every rank counts its own, and all get the same result.

    With a hierarchy, every scheme has semantic top-1 and mistake distance. A plain class list has semantic top-1, of
    level 0, in the semantic schemes alone. Single-label schemes add top-1 and top-5, multi-label schemes mean average
    precision, which takes a second pass.
    """

    def __init__(self, data: TrainingData, order: LevelOrder, scheme: str, ranks: Ranks) -> None:
        self._ranks = ranks
        has_levels = data.hierarchy.num_levels > 1
        is_semantic = has_levels or scheme not in SINGLE_LABEL | MULTI_LABEL
        self._semantic = SemanticCounter(order, ranks.device) if is_semantic and order.active else None
        self._mistakes = MistakeCounter(data.hierarchy, order, ranks.device) if has_levels else None
        self._top_k = TopKCounter(order, ranks.device) if scheme in SINGLE_LABEL else None
        self._precision: AveragePrecision | None = None
        if scheme in MULTI_LABEL:
            table = label_rows(order, data.label_sets).to(ranks.device)
            self._precision = AveragePrecision(table, len(order.class_of_row), ranks)

    @property
    def wants_second_pass(self) -> bool:
        """Whether the same batches must be counted again, after `seal`."""
        return self._precision is not None

    def update(self, logits: Tensor, ids: Tensor, valid: Tensor) -> None:
        """Count a batch.

        Args:
            logits: [B, C] in level order.
            ids: int64 [B].
            valid: bool [B]; the others do not count.
        """
        for counter in (self._semantic, self._mistakes, self._top_k):
            if counter is not None:
                counter.update(logits, ids, valid)
        if self._precision is not None:
            self._precision.collect(logits, ids, valid)

    def seal(self) -> None:
        """End the first pass if there is a second; every rank must call it."""
        if self._precision is not None:
            self._precision.seal()

    def count_again(self, logits: Tensor, ids: Tensor, valid: Tensor) -> None:
        """Count a batch in the second pass."""
        if self._precision is not None:
            self._precision.count(logits, ids, valid)

    def result(self) -> "tuple[SemanticTop1 | None, dict[str, float | None]]":
        """Return semantic top-1 and the other metrics by name; every rank must call it, and it waits for the device."""
        counters = (self._semantic, self._mistakes, self._top_k)
        for counter in counters:
            if counter is not None:
                self._ranks.sum(counter.counts)
        metrics: dict[str, float | None] = {}
        for found in (self._top_k, self._precision, self._mistakes):
            if found is not None:
                metrics.update(found.result())
        return self._semantic.result() if self._semantic is not None else None, metrics

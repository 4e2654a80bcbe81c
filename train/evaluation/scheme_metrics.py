"""The metrics of a scheme, counted in one or two passes over the val split."""

from typing import NamedTuple

from torch import Tensor

from in21k.train.data.interfaces import TrainingData
from in21k.train.device.ranks import Ranks
from in21k.train.evaluation.average_precision import AveragePrecision, mean_precision
from in21k.train.evaluation.best_distance import BestDistanceCounter
from in21k.train.evaluation.class_accuracy import ClassCounter
from in21k.train.evaluation.class_scores import ClassScores
from in21k.train.evaluation.hierarchical import HierarchicalCounter
from in21k.train.evaluation.mistakes import MistakeCounter
from in21k.train.evaluation.semantic_top1 import SemanticCounter, SemanticTop1
from in21k.train.evaluation.top_k import TopKCounter
from in21k.train.losses.multi_label import absent_rows, label_rows
from in21k.train.losses.schemes import MULTI_LABEL, SINGLE_LABEL
from in21k.train.model.level_order import LevelOrder

_Counter = SemanticCounter | MistakeCounter | HierarchicalCounter | BestDistanceCounter | TopKCounter | ClassCounter


class Scores(NamedTuple):
    """What a scheme's metrics come to."""

    top1: SemanticTop1 | None
    """Semantic top-1, where there is one."""
    metrics: dict[str, float | None]
    """The other metrics by name."""
    by_class: ClassScores


class SchemeMetrics:
    """Counts batches of logits; every rank counts its own, and all get the same result.

    With a hierarchy, every scheme has semantic top-1, mistake distance, and the metrics of `hierarchical.py` and
    `best_distance.py`. A plain class list has semantic top-1, of level 0, in the semantic schemes alone. Single-label
    schemes add top-1 and top-5, multi-label schemes mean average precision, which takes a second pass: of the classes
    and, where images have any number of classes, also that of all pairs of an image and a class at once. By class,
    there is top-1 or average precision.
    """

    def __init__(self, data: TrainingData, order: LevelOrder, scheme: str, ranks: Ranks) -> None:
        self._ranks = ranks
        has_levels = data.hierarchy.num_levels > 1
        is_semantic = has_levels or scheme not in SINGLE_LABEL | MULTI_LABEL
        self._semantic = SemanticCounter(order, ranks.device) if is_semantic and order.active else None
        self._of_tree: list[MistakeCounter | HierarchicalCounter | BestDistanceCounter] = []
        if has_levels:
            self._of_tree = [
                MistakeCounter(data.hierarchy, order, ranks.device),
                HierarchicalCounter(order, scheme, ranks.device),
                BestDistanceCounter(order, ranks.device),
            ]
        self._top_k = TopKCounter(order, ranks.device) if scheme in SINGLE_LABEL else None
        self._order, by_level = order, scheme not in SINGLE_LABEL
        is_multi = scheme in MULTI_LABEL
        self._by_class = None if is_multi else ClassCounter(order, ranks.device, by_level=by_level)
        self._precisions: dict[str, AveragePrecision] = {}
        if is_multi:
            table = label_rows(order, data.label_sets).to(ranks.device)
            absent = absent_rows(order, data.label_sets)
            absent = absent if absent is None else absent.to(ranks.device)
            self._precisions["map"] = AveragePrecision(table, len(order), ranks, absent=absent)
            if not data.is_single_label:
                self._precisions["map_micro"] = AveragePrecision(table, len(order), ranks, absent=absent, micro=True)

    @property
    def wants_second_pass(self) -> bool:
        """Whether the same batches must be counted again, after `seal`."""
        return bool(self._precisions)

    def update(self, logits: Tensor, ids: Tensor, valid: Tensor) -> None:
        """Count a batch.

        Args:
            logits: [B, C] in level order.
            ids: int64 [B].
            valid: bool [B]; the others do not count.
        """
        for counter in self._counters:
            counter.update(logits, ids, valid)
        for precision in self._precisions.values():
            precision.collect(logits, ids, valid)

    def seal(self) -> None:
        """End the first pass if there is a second; every rank must call it."""
        for precision in self._precisions.values():
            precision.seal()

    def count_again(self, logits: Tensor, ids: Tensor, valid: Tensor) -> None:
        """Count a batch in the second pass."""
        for precision in self._precisions.values():
            precision.count(logits, ids, valid)

    def result(self) -> "Scores":
        """Return what was counted; every rank must call it, once, and it waits for the device."""
        for each in self._counters:
            self._ranks.sum(each.counts)
        precisions = {name: found.by_class() for name, found in self._precisions.items()}
        metrics: dict[str, float | None] = dict(self._top_k.result()) if self._top_k is not None else {}
        metrics |= {name: mean_precision(found) for name, found in precisions.items()}
        for counter in self._of_tree:
            metrics |= counter.result()
        by_class = self._by_class.result() if self._by_class is not None else self._order.to_classes(precisions["map"])
        name = "top1" if self._by_class is not None else "average_precision"
        semantic = self._semantic.result() if self._semantic is not None else None
        return Scores(semantic, metrics, ClassScores(name, by_class.numpy()))

    @property
    def _counters(self) -> list[_Counter]:
        found = (self._semantic, *self._of_tree, self._top_k, self._by_class)
        return [counter for counter in found if counter is not None]

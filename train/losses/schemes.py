"""The training schemes by name, and the loss of each."""

from collections.abc import Callable, Mapping

from in21k.shards_manifest.command.nearest import did_you_mean
from in21k.train.arrays import IntArray
from in21k.train.config.settings import DistillConfig, LossConfig
from in21k.train.data.interfaces import TrainingData
from in21k.train.errors import TrainError
from in21k.train.losses.distillation import (
    MultiLabelDistillationLoss,
    SemanticDistillationLoss,
    SingleLabelDistillationLoss,
)
from in21k.train.losses.hierarchical_cross_entropy import HierarchicalCrossEntropyLoss
from in21k.train.losses.multi_label import AsymmetricLoss
from in21k.train.losses.row_loss import RowLoss
from in21k.train.losses.semantic_softmax import SemanticSoftmaxLoss, SoftmaxLoss
from in21k.train.losses.single_label import SingleLabelLoss
from in21k.train.losses.soft_labels import SoftLabelsLoss
from in21k.train.model.level_order import LevelOrder

_NO_TEACHER = DistillConfig()

Builder = Callable[[LossConfig, LevelOrder, IntArray, DistillConfig], RowLoss]


def _single_label(config: LossConfig, order: LevelOrder, *_: object) -> SoftmaxLoss:
    return SingleLabelLoss(order, config.label_smoothing)


def _multi_label(config: LossConfig, order: LevelOrder, label_sets: IntArray, _: DistillConfig) -> AsymmetricLoss:
    return AsymmetricLoss(order, label_sets, config)


def _semantic_softmax(config: LossConfig, order: LevelOrder, *_: object) -> SoftmaxLoss:
    if not order.active:
        raise TrainError("no level of the hierarchy has two classes or more, so there is nothing to learn")
    return SemanticSoftmaxLoss(order, config.label_smoothing)


def _distillation(config: LossConfig, order: LevelOrder, _: IntArray, distill: DistillConfig) -> RowLoss:
    return SingleLabelDistillationLoss(_single_label(config, order), distill)


def _multi_label_distillation(
    config: LossConfig, order: LevelOrder, label_sets: IntArray, distill: DistillConfig
) -> RowLoss:
    return MultiLabelDistillationLoss(_multi_label(config, order, label_sets, distill), distill)


def _semantic_distillation(config: LossConfig, order: LevelOrder, _: IntArray, distill: DistillConfig) -> RowLoss:
    return SemanticDistillationLoss(_semantic_softmax(config, order), distill)


def _hierarchical_cross_entropy(config: LossConfig, order: LevelOrder, *_: object) -> RowLoss:
    return HierarchicalCrossEntropyLoss(order, config.alpha)


def _soft_labels(config: LossConfig, order: LevelOrder, *_: object) -> RowLoss:
    return SoftLabelsLoss(order, config.beta)


SCHEMES: Mapping[str, Builder] = {
    "single-label": _single_label,
    "multi-label": _multi_label,
    "semantic-softmax": _semantic_softmax,
    "distillation": _distillation,
    "multi-label-distillation": _multi_label_distillation,
    "semantic-distillation": _semantic_distillation,
    "hierarchical-cross-entropy": _hierarchical_cross_entropy,
    "soft-labels": _soft_labels,
}
"""The function that builds each scheme's loss."""


DISTILLING = frozenset({"distillation", "multi-label-distillation", "semantic-distillation"})
"""The schemes that need a teacher."""


SINGLE_LABEL = frozenset({"single-label", "distillation", "hierarchical-cross-entropy", "soft-labels"})
"""The schemes with one softmax over all classes; their metrics are top-1 and top-5."""


MULTI_LABEL = frozenset({"multi-label", "multi-label-distillation"})
"""The schemes with a sigmoid per class, which alone take any number of classes per image; their metric is mean average
precision."""

IN_HIERARCHY = frozenset({"semantic-softmax", "semantic-distillation", "hierarchical-cross-entropy", "soft-labels"})
"""The schemes whose loss asks where classes are in the hierarchy."""

FOR_ANY_LABELS = {False: "transfer-multi-label", True: "transfer-multi-label-distillation"}
"""The recipes that take any number of classes per image, without and with a teacher."""


def check_labels(scheme: str, data: TrainingData) -> None:
    """Refuse a scheme that takes one class per image for data whose images have any number of classes.

    Raises:
        TrainError: the labels do not fit.
    """
    if scheme not in MULTI_LABEL and not data.is_single_label:
        raise TrainError(
            f"{data.name} has images with any number of classes, and loss.scheme={scheme} takes one class per image; "
            f"use --recipe {FOR_ANY_LABELS[scheme in DISTILLING]}, or multi-label to pretrain"
        )


def build_loss(
    config: LossConfig,
    order: LevelOrder,
    label_sets: IntArray | None = None,
    distill: DistillConfig = _NO_TEACHER,
) -> RowLoss:
    """Return a scheme's loss, a module of (logits [B, C], ids int64 [B], valid bool [B]).

        order = level_order(hierarchy)
        loss = build_loss(LossConfig("semantic-softmax"), order)
        value = loss(order.to_rows(logits, dim=1), class_indices, valid)  # of logits in class order

    The losses of distilling schemes take the teacher's logits, [B, C], as a fourth argument; without them, as in
    validation, they return the hard-label loss alone. Logits are in level order and of any float type; the loss is a
    float32 scalar (float64 for float64 logits). It is the mean over all B images, and images that are not valid add
    zero: so the mean over the micro-batches of a batch is the loss of the batch.

    Args:
        config: the scheme, and its parameters.
        order: the level order of C classes.
        label_sets: int64 [N, K]: the class indices of each id, padded with -1. By default ids are class indices, and a
            class's label set is the class and all its ancestors.
        distill: of the distilling schemes; its teacher is not opened here.

    Raises:
        TrainError: there is no such scheme, or the hierarchy has no level to learn.
    """
    if (builder := SCHEMES.get(config.scheme)) is None:
        hint = did_you_mean(config.scheme, SCHEMES, f"loss.scheme is one of: {', '.join(SCHEMES)}")
        raise TrainError(f"there is no loss {config.scheme!r}; {hint}")
    return builder(config, order, order.ancestors if label_sets is None else label_sets, distill)

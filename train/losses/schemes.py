"""The training schemes by name, and the loss of each."""

from collections.abc import Callable, Mapping

from torch import nn

from in21k.train.arrays import IntArray
from in21k.train.config.settings import Config
from in21k.train.errors import TrainError
from in21k.train.losses.distillation import SemanticDistillationLoss, SingleLabelDistillationLoss
from in21k.train.losses.multi_label import AsymmetricLoss
from in21k.train.losses.semantic_softmax import SemanticSoftmaxLoss
from in21k.train.losses.single_label import SingleLabelLoss
from in21k.train.model.level_order import LevelOrder

Builder = Callable[[Config, LevelOrder, IntArray], nn.Module]


def _single_label(config: Config, order: LevelOrder, _: IntArray) -> nn.Module:
    return SingleLabelLoss(order, config.loss.label_smoothing)


def _multi_label(config: Config, order: LevelOrder, label_sets: IntArray) -> nn.Module:
    loss = config.loss
    return AsymmetricLoss(order, label_sets, loss.gamma_negative, loss.gamma_positive, loss.clip)


def _semantic_softmax(config: Config, order: LevelOrder, _: IntArray) -> nn.Module:
    if not order.active:
        raise TrainError("no level of the hierarchy has two classes or more, so there is nothing to learn")
    return SemanticSoftmaxLoss(order, config.loss.label_smoothing)


def _distillation(config: Config, order: LevelOrder, label_sets: IntArray) -> nn.Module:
    return SingleLabelDistillationLoss(_single_label(config, order, label_sets), config.distill)


def _semantic_distillation(config: Config, order: LevelOrder, label_sets: IntArray) -> nn.Module:
    return SemanticDistillationLoss(_semantic_softmax(config, order, label_sets), order, config.distill)


SCHEMES: Mapping[str, Builder] = {
    "single-label": _single_label,
    "multi-label": _multi_label,
    "semantic-softmax": _semantic_softmax,
    "distillation": _distillation,
    "semantic-distillation": _semantic_distillation,
}
"""How each scheme's loss is built."""


DISTILLING = frozenset({"distillation", "semantic-distillation"})
"""The schemes that need a teacher."""


SINGLE_LABEL = frozenset({"single-label", "distillation"})
"""The schemes whose one softmax goes over all classes: top-1 and top-5 measure them."""


MULTI_LABEL = frozenset({"multi-label"})
"""The schemes with a sigmoid a class: mean average precision measures them."""


def build_loss(config: Config, order: LevelOrder, label_sets: IntArray) -> nn.Module:
    """Return a scheme's loss, a module of (logits [B, C], ids int64 [B], valid bool [B]).

    Distilling ones take a teacher's logits, [B, C], as a fourth; without them, as in validation, they give their
    hard-label term. Logits are in level order, of any float type; the loss is a scalar of float32, or float64 for
    float64 logits. It is the mean over all B images, of which those that are not valid add zero, so that the mean of
    equal parts of a batch is that of the whole.

    Args:
        config: of the run.
        order: the level order of C classes.
        label_sets: int64 [N, K]: the class indices that belong to each id, padded with -1; in a dataset of one class an
            image the ids are the class indices, and the sets a class and its ancestors.

    Raises:
        TrainError: there is no such scheme, or the hierarchy has nothing that it could learn.
    """
    if (builder := SCHEMES.get(config.loss.scheme)) is None:
        raise TrainError(f"there is no loss {config.loss.scheme!r}; loss.scheme is one of: {', '.join(SCHEMES)}")
    return builder(config, order, label_sets)

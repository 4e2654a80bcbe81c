"""The training schemes' losses, by the name that a recipe gives."""

from collections.abc import Callable, Mapping

from torch import nn

from in21k.train.config import LossConfig
from in21k.train.errors import TrainError
from in21k.train.levels import LevelOrder
from in21k.train.losses.semantic_softmax import SemanticSoftmaxLoss

Builder = Callable[[LossConfig, LevelOrder], nn.Module]


def _semantic_softmax(config: LossConfig, order: LevelOrder) -> nn.Module:
    return SemanticSoftmaxLoss(order, config.label_smoothing)


SCHEMES: Mapping[str, Builder] = {"semantic-softmax": _semantic_softmax}


def build_loss(config: LossConfig, order: LevelOrder) -> nn.Module:
    """Return a scheme's loss, a module of (logits [B, C] in level order, class indices int64 [B], valid bool [B]).

    Raises:
        TrainError: there is no such scheme, or the hierarchy has nothing that it could learn.
    """
    if (builder := SCHEMES.get(config.scheme)) is None:
        raise TrainError(f"there is no loss {config.scheme!r}; loss.scheme is one of: {', '.join(SCHEMES)}")
    if not order.active:
        raise TrainError("no level of the hierarchy has two classes or more, so there is nothing to learn")
    return builder(config, order)

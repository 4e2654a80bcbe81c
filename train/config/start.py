"""What a run starts from: weights that are named, or random ones that are asked for."""

from in21k.shards_manifest.errors import escaped
from in21k.train.config.settings import ModelConfig
from in21k.train.errors import TrainError

KEY = "model.start"
"""The setting that says it."""

WEIGHTS, RANDOM = "weights", "random"


def require_start(model: ModelConfig, recipe: str = "") -> None:
    """Refuse a run whose recipe starts from weights where none are named, and weights where random ones are asked for.

    Args:
        model: the settings of the network.
        recipe: its name, if there is one.

    Raises:
        TrainError: so it is.
    """
    is_named = model.pretrained or bool(model.init)
    if model.start == WEIGHTS and not is_named:
        raise TrainError(
            f"the recipe{f' {recipe}' if recipe else ''} starts from ImageNet-1K weights, and none are named; give "
            "--pretrained (timm's, a download), --init FILE, or --scratch to start from random weights"
        )
    if model.start == RANDOM and is_named:
        given = "model.pretrained=true" if model.pretrained else f"model.init={escaped(model.init)}"
        raise TrainError(f"--scratch ({KEY}={RANDOM}) starts from random weights, and {given} names others; give one")

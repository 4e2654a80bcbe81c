"""What can be wrong with a run that a user starts."""

from pathlib import Path

from in21k.shards_manifest.errors import DatasetError
from in21k.tree.errors import TreeError


class TrainError(DatasetError):
    """A run, a checkpoint, a setting or a shard is not usable; the message is one line for the user."""


class ToldElsewhereError(TrainError):
    """Another rank tells what is wrong, so this one ends without a word."""

    def __init__(self) -> None:
        super().__init__("")


def no_checkpoint(path: Path) -> TrainError:
    """Return the error of a path that was to name a checkpoint."""
    return TrainError(
        f"{path}: there is no checkpoint; name a run's folder, one of its checkpoints or a model.safetensors"
    )


USER_ERRORS = (DatasetError, TreeError)
"""What the command line answers with one line and exit status 1."""

"""What can be wrong with a run that a user starts."""

from in21k.shards_manifest.errors import DatasetError
from in21k.tree.errors import TreeError


class TrainError(DatasetError):
    """A run, a checkpoint, a setting or a shard is not usable; the message is one line for the user."""


USER_ERRORS = (DatasetError, TreeError)
"""What the command line answers with one line and exit status 1."""

"""What can be wrong with a preparation that a user starts."""

from in21k.shards_manifest.errors import DatasetError
from in21k.tree.errors import TreeError


class PrepError(DatasetError):
    """A raw dump, a work folder or a parameter is not usable; the message is one line for the user."""


USER_ERRORS = (DatasetError, TreeError)
"""What a command answers with one line instead of a traceback."""

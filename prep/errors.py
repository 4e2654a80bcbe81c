"""What can be wrong with a preparation that a user starts."""

from in21k.shards_manifest.errors import DatasetError
from in21k.tree.errors import TreeError


class PrepError(DatasetError):
    """A raw dump, a work folder or a parameter is not usable; the message is one line for the user."""


class DamagedPartError(PrepError):
    """A part in the work folder is no longer as `resize` wrote it; trying again would not help, making it anew does."""

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.number = number
        """The part's number."""

    def __reduce__(self) -> tuple[type, tuple[str, int]]:
        return type(self), (str(self), self.number)


USER_ERRORS = (DatasetError, TreeError)
"""What a command answers with one line instead of a traceback."""

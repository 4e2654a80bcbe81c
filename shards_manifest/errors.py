"""What can be wrong with files and datasets that a user names."""


class DatasetError(Exception):
    """A path, a dataset or a parameter is not usable; the message is one line for its user."""


class NoSpaceError(DatasetError):
    """A file system is full: to try again would not help."""

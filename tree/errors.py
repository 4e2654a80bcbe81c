"""What can be wrong with a class list or a hierarchy that a user gave."""


class TreeError(Exception):
    """A class list, an edge list or a hierarchy table is not usable; the message is one line for its user."""

"""Errors about a class list, an edge list or a hierarchy that a user provided."""

from collections.abc import Sequence

from in21k.tree.findings import HierarchyFinding


class TreeError(Exception):
    """A class list, an edge list or a hierarchy table is unusable; the message is one line for the user."""


class NoSuchClassError(TreeError, KeyError):
    """No class is called so, or several are."""

    def __str__(self) -> str:
        return Exception.__str__(self)  # a KeyError's own is in quotes


class NoSuchIndexError(TreeError, IndexError):
    """A number is no class index."""


class FindingsError(TreeError):
    """A hierarchy cannot be built; the message names the first error and counts the rest."""

    def __init__(self, name: str, findings: Sequence[HierarchyFinding]) -> None:
        """Build the message from the first error in `findings`, which are about the file `name`."""
        errors = [finding for finding in findings if finding.is_error]
        first, more = errors[0], len(errors) - 1
        rest = f" ({more} more error{'s' * (more > 1)}; --json lists all)" if more else ""
        super().__init__(f"{name}: {first.code} {first.subject}: {first.message}{rest}")
        self.findings = tuple(findings)

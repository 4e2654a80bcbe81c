"""Coded findings about a hierarchy: what is wrong with it (E…), and what its user should know (W…)."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum

from in21k.tree.errors import TreeError


class Code(StrEnum):
    """What a finding is about; docs/hierarchy.md explains each."""

    CYCLE = "E701"
    """Parents that lead back to where they began."""
    UNKNOWN_NAME = "E703"
    """A class of the list that the edges do not name."""
    MALFORMED_ROW = "E705"
    """A row that is no child and parent."""
    LISTED_TWICE = "E706"
    """A class that the list names more than once."""
    SEVERAL_PARENTS = "W702"
    """A child with several parents, of which one had to be chosen."""
    ORPHAN = "W704"
    """A class with no other class above or below it."""
    REPEATED_EDGE = "W707"
    """The same child and parent once more."""
    ORDER_DIFFERS = "W711"
    """A class that has another class index there."""
    ONLY_HERE = "W712"
    """A class that the other side lacks."""
    ONLY_THERE = "W713"
    """A class that only the other side has."""
    PARENT_DIFFERS = "W714"
    """A class with another parent there."""


@dataclass(frozen=True, slots=True)
class HierarchyFinding:
    """One thing that was found."""

    code: Code
    subject: str
    """The class or row that it is about."""
    message: str
    """What was seen there, for people."""

    @property
    def is_error(self) -> bool:
        """Whether it leaves no hierarchy to be made."""
        return self.code.value.startswith("E")

    def to_json(self) -> dict[str, str]:
        """Return the finding as plain strings."""
        return {name: str(value) for name, value in asdict(self).items()}


class FindingsError(TreeError):
    """A hierarchy cannot be made; the message names the first error and says how many there are."""

    def __init__(self, name: str, findings: Sequence[HierarchyFinding]) -> None:
        """Tell the first error of `findings`, about the file `name`."""
        errors = [finding for finding in findings if finding.is_error]
        first, more = errors[0], len(errors) - 1
        rest = f" ({more} more error{'s' * (more > 1)}; --json lists all)" if more else ""
        super().__init__(f"{name}: {first.code} {first.subject}: {first.message}{rest}")
        self.findings = tuple(findings)


def count_codes(findings: Iterable[HierarchyFinding]) -> dict[str, int]:
    """Return the number of findings of each code that occurs, by code."""
    return dict(sorted(Counter(finding.code.value for finding in findings).items()))

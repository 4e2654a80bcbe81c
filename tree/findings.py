"""Coded findings about a hierarchy: errors (E…) that make it unusable, and warnings (W…)."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum


class Code(StrEnum):
    """The kind of a finding; docs/hierarchy.md explains each."""

    CYCLE = "E701"
    """Parents that form a cycle."""
    UNKNOWN_NAME = "E703"
    """A listed class that does not appear in the edges."""
    MALFORMED_ROW = "E705"
    """A row that is not a child and a parent."""
    LISTED_TWICE = "E706"
    """A class that the class list names more than once."""
    SEVERAL_PARENTS = "W702"
    """A child with several parents, of which only one was kept."""
    ORPHAN = "W704"
    """A class with no other class above or below it."""
    REPEATED_EDGE = "W707"
    """An edge that repeats an earlier one."""
    SEVERAL_NAMES = "W708"
    """A child that the file names differently in different rows; the first name was kept."""
    UNKNOWN_LABEL = "W709"
    """A class of a dump that the taxonomy does not have, and that is therefore dropped."""
    ORDER_DIFFERS = "W711"
    """A class with a different class index on the other side."""
    ONLY_HERE = "W712"
    """A class that the other side does not have."""
    ONLY_THERE = "W713"
    """A class that only the other side has."""
    PARENT_DIFFERS = "W714"
    """A class with a different parent on the other side."""


@dataclass(frozen=True, slots=True)
class HierarchyFinding:
    """A finding about one class or row."""

    code: Code
    subject: str
    """The class or row that the finding is about."""
    message: str
    """What was found, in words."""

    @property
    def is_error(self) -> bool:
        """Whether the finding makes the hierarchy unusable."""
        return self.code.value.startswith("E")

    def to_json(self) -> dict[str, str]:
        """Return the finding as plain strings."""
        return {name: str(value) for name, value in asdict(self).items()}


def count_codes(findings: Iterable[HierarchyFinding]) -> dict[str, int]:
    """Return how many findings there are of each code, sorted by code."""
    return dict(sorted(Counter(finding.code.value for finding in findings).items()))

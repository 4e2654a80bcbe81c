"""The vocabulary of `verify`: findings, their codes, and how deep it looks."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

CODES = {
    "E100": "the manifest was changed after it was written",
    "E101": "the SHA-256 differs from the manifest's",
    "E102": "a file is missing",
    "E103": "the length differs from the manifest's",
    "E104": "the manifest does not list this shard",
    "E105": "the manifest contradicts itself",
    "E106": "a table is damaged, or its number of rows differs from the manifest's",
    "E107": "a file cannot be read",
    "E201": "the tar is damaged",
    "E202": "members that are not an image and its label under one key",
    "E203": "a sample is not where samples.parquet says",
    "E301": "a label differs from samples.parquet",
    "E302": "a key appears twice in a split",
    "E303": "a label is not a class index",
    "E304": "a class has the wrong number of val samples",
    "E305": "the counts in classes.parquet differ from samples.parquet",
    "E306": "a sample is in both splits",
    "E307": "a label contradicts the wnid at the start of the key",
    "E401": "an image cannot be decoded",
    "E402": "an image has the wrong size",
    "E403": "an image is not RGB",
    "E404": "an image has the wrong format",
    "E501": "the hierarchy's classes differ from the manifest's",
    "E502": "the hierarchy's parents are not a forest",
    "E503": "the hierarchy's levels, paths or children contradict its parents",
    "E504": "the counts in hierarchy.parquet differ from samples.parquet",
    "E505": "the kept classes in classes.parquet differ from the manifest's",
    "E601": "a sidecar is missing",
    "E602": "a sidecar differs from what the manifest and the tables say",
}
"""What each code means: E1 files, E2 tars, E3 labels and splits, E4 images, E5 hierarchy, E6 sidecars."""

SIDECAR_CODES = "E6"
"""How the codes of what `sidecars` rewrites begin."""


class Depth(IntEnum):
    """How deep `verify` looks."""

    QUICK = 0
    """Lengths, counts, tables and sidecars; no shard is read."""
    DIGEST = 1
    """In addition the digest of every shard, and DALI's indexes."""
    DEEP = 2
    """In addition every member of every shard; every image is decoded."""


@dataclass(frozen=True, order=True)
class Finding:
    """A defect of a dataset."""

    code: str
    """A key of CODES."""
    path: str
    """The file to blame, relative to the dataset."""
    message: str
    """What was seen, on one line."""
    count: int = 1
    """How often it occurs in this file; the message describes the first."""


def merged(found: Iterable[Finding]) -> list[Finding]:
    """Return findings with those of the same code and file merged into one, which keeps the first message."""
    first: dict[tuple[str, str], Finding] = {}
    counts: dict[tuple[str, str], int] = {}
    for finding in found:
        place = finding.code, finding.path
        first.setdefault(place, finding)
        counts[place] = counts.get(place, 0) + finding.count
    return [Finding(code, path, first[code, path].message, count) for (code, path), count in counts.items()]

"""What `verify` answers: findings with codes, and how deep it looks."""

from dataclasses import dataclass
from enum import IntEnum

CODES = {
    "E100": "the manifest was changed after it was written",
    "E101": "the SHA-256 differs from the manifest's",
    "E102": "a file is missing",
    "E103": "the length differs from the manifest's",
    "E104": "a shard that the manifest does not know",
    "E105": "the manifest contradicts itself",
    "E106": "a table is damaged or has other rows than the manifest says",
    "E107": "a file cannot be read",
    "E201": "the tar is damaged",
    "E202": "members that are not an image and its label under one key",
    "E203": "a sample is not where samples.parquet says",
    "E301": "a label differs from samples.parquet",
    "E302": "a key stands twice in a split",
    "E303": "a label is no class",
    "E304": "a class has another number of val samples than asked for",
    "E305": "classes.parquet counts other samples than samples.parquet",
    "E306": "a sample is in both splits",
    "E307": "a label contradicts the wnid that the key begins with",
    "E401": "an image does not decode",
    "E402": "an image has another size than asked for",
    "E403": "an image is not RGB",
    "E404": "an image has another format than asked for",
    "E501": "the hierarchy's classes are not the manifest's",
    "E502": "the hierarchy's parents are no forest",
    "E503": "the hierarchy's levels, paths or children contradict its parents",
    "E504": "the hierarchy counts other samples than samples.parquet",
    "E505": "classes.parquet keeps other classes than the manifest",
    "E601": "a sidecar is missing",
    "E602": "a sidecar differs from what the manifest and the tables say",
}
"""What can be found, by code: E1 files, E2 tar, E3 labels and splits, E4 images, E5 hierarchy, E6 sidecars."""


class Depth(IntEnum):
    """How deep to look."""

    QUICK = 0
    """Lengths, counts, tables, sidecars; no shard is read."""
    DIGEST = 1
    """Also the digest of every shard, and DALI's indexes."""
    DEEP = 2
    """Also every member of every shard, and every image decoded."""


@dataclass(frozen=True, order=True)
class Finding:
    """Something that is wrong with a dataset."""

    code: str
    """One of CODES."""
    path: str
    """The file that is to blame, relative to the dataset."""
    message: str
    """What was seen, in one line."""
    count: int = 1
    """How often it was seen in this file; the message is of the first time."""


def merged(found: list[Finding]) -> list[Finding]:
    """Return findings with those of one code and file taken together under the first one's message."""
    first: dict[tuple[str, str], Finding] = {}
    counts: dict[tuple[str, str], int] = {}
    for finding in found:
        place = finding.code, finding.path
        first.setdefault(place, finding)
        counts[place] = counts.get(place, 0) + finding.count
    return [Finding(code, path, first[code, path].message, count) for (code, path), count in counts.items()]

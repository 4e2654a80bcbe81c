"""Checks of the sidecars: they exist, and agree with the manifest."""

from in21k.shards_manifest.errors import DatasetError
from in21k.shards_manifest.manifest import HIERARCHY
from in21k.shards_manifest.sidecars import CLASS_LISTS, sidecars
from in21k.shards_manifest.verify.subject import Observations, Subject


def missing_sidecars(subject: Subject) -> Observations:
    """Yield the sidecars that are missing; DALI's indexes are checked with their shards."""
    for name in _expected(subject):
        if name not in subject.files:
            yield name, "`in21k-prep sidecars` writes it"


def other_sidecars(subject: Subject) -> Observations:
    """Yield the sidecars that differ from what the manifest and the tables say."""
    for name, content in _expected(subject).items():
        if name in subject.files:
            try:
                found = (subject.location / name).read_bytes()
            except DatasetError as error:
                yield name, str(error)
                continue
            if found != content:
                yield name, "`in21k-prep sidecars` rewrites it"


def _expected(subject: Subject) -> dict[str, bytes]:
    """Return the sidecars that can be checked: the lists of classes only if the hierarchy is sound."""
    if HIERARCHY in subject.unsound:
        return {name: content for name, content in sidecars(subject.manifest, []).items() if name not in CLASS_LISTS}
    names: list[str] = subject.hierarchy["name"].to_pylist()
    return sidecars(subject.manifest, list(zip(subject.wnids, names, strict=True)))

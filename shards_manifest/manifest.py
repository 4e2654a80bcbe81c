"""The manifest: one JSON file that says what a prepared dataset holds, where it came from and how it was made."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import PurePosixPath
from typing import Any

from in21k.shards_manifest.errors import DatasetError
from in21k.shards_manifest.storage.location import Location

SCHEMA_VERSION = 1
MANIFEST = "manifest.json"
HIERARCHY = "hierarchy.parquet"
CLASSES = "classes.parquet"
SAMPLES = "samples.parquet"
REJECTS = "rejects.parquet"
SPLITS = ("train", "val")
SEAL = "manifest_sha256"
"""The manifest's last key: the SHA-256 of the same JSON without it."""


@dataclass(frozen=True)
class Shard:
    """One tar of samples."""

    path: str
    """Relative to the dataset, such as `train/in21k-train-000000.tar`; its last part is unique over all splits."""
    samples: int
    bytes: int
    sha256: str
    md5: str = ""
    """What wids compares; empty in datasets that were made without."""


@dataclass(frozen=True)
class TableFile:
    """One Parquet table of the dataset."""

    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What a prepared dataset holds. Nothing in it depends on the machine, the time or the number of workers."""

    classes: int
    """The number of kept classes, C; class indices run from 0 to C - 1."""
    class_list_sha256: str
    """SHA-256 of the kept wnids in order of class index, one a line."""
    source: Mapping[str, Any]
    """The raw dump: name, layout, bytes, digest of its headers."""
    parameters: Mapping[str, Mapping[str, Any]]
    """Each stage's parameters, by stage."""
    counts: Mapping[str, int]
    """Images and classes at each step."""
    versions: Mapping[str, str]
    """The tool's version and those of what made the bytes: Python, Pillow or pillow-simd, libjpeg-turbo, …"""
    splits: Mapping[str, tuple[Shard, ...]]
    """The shards of `train` and of `val`, in order."""
    tables: Mapping[str, TableFile] = field(default_factory=dict)
    """The Parquet tables beside the manifest, by file name."""
    schema_version: int = SCHEMA_VERSION

    def samples(self, split: str) -> int:
        """Return the number of samples of a split."""
        return sum(shard.samples for shard in self.splits[split])

    def size(self, split: str) -> int:
        """Return the length of a split's shards in bytes."""
        return sum(shard.bytes for shard in self.splits[split])

    def image_size(self) -> int:
        """Return the side of the images in pixels."""
        return int(self.parameters["resize"]["size"])

    def digest(self) -> str:
        """Return the SHA-256 that stands under the manifest's last key."""
        return hashlib.sha256(_json(self._fields())).hexdigest()

    def to_json(self) -> bytes:
        """Return the manifest as UTF-8 JSON, sealed with its own digest."""
        return _sealed(self._fields())

    def _fields(self) -> dict[str, Any]:
        fields = asdict(self)
        return {"schema_version": fields.pop("schema_version"), **fields}


def read_manifest(dataset: Location) -> Manifest:
    """Return the manifest of a prepared dataset.

    Raises:
        DatasetError: the folder has none (a dataset gets it last), or it is damaged or of a newer version.
    """
    location = dataset.child(MANIFEST)
    if not location.exists():
        raise DatasetError(
            f"{dataset.text}: no {MANIFEST} there; name the folder that `in21k-prep shard` finished (it writes it last)"
        )
    try:
        fields = json.loads(location.read_bytes())
        version = fields["schema_version"]
        if not isinstance(version, int) or version > SCHEMA_VERSION:
            raise DatasetError(f"{location.text} has schema version {version!r}, newer than this in21k; upgrade it")
        return _from_fields(fields)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DatasetError(f"{location.text} is no manifest of in21k ({type(error).__name__}: {error})") from error


def is_intact(content: bytes) -> bool:
    """Return whether the bytes of a manifest are as they were written; those made before the seal must be canonical."""
    try:
        fields = json.loads(content)
        sealed = fields.pop(SEAL, None)
        return content == (_json(fields) if sealed is None else _sealed(fields))
    except (ValueError, TypeError, AttributeError):
        return False


def _sealed(fields: dict[str, Any]) -> bytes:
    return _json({**fields, SEAL: hashlib.sha256(_json(fields)).hexdigest()})


def _json(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields, indent=1).encode() + b"\n"


def _from_fields(fields: dict[str, Any]) -> Manifest:
    splits = {name: tuple(Shard(**shard) for shard in fields["splits"][name]) for name in SPLITS}
    tables = {name: TableFile(**table) for name, table in fields["tables"].items()}
    for shards in splits.values():
        for shard in shards:
            _check_shard(shard)
    for name in tables:
        _check_relative(name)
    rest = {
        name: fields[name] for name in ("classes", "class_list_sha256", "source", "parameters", "counts", "versions")
    }
    return Manifest(splits=splits, tables=tables, schema_version=fields["schema_version"], **rest)


def _check_shard(shard: Shard) -> None:
    _check_relative(shard.path)
    if not (isinstance(shard.samples, int) and isinstance(shard.bytes, int) and shard.samples > 0 and shard.bytes > 0):
        raise ValueError(f"shard {shard.path} with {shard.samples!r} samples of {shard.bytes!r} bytes")


def _check_relative(path: str) -> None:
    """Refuse a path that leaves the dataset's folder: a manifest comes from anywhere."""
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or "://" in path:
        raise ValueError(f"path {path!r} leads out of the dataset")


SHARD_SUFFIX = ".tar"

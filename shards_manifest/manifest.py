"""The manifest: a JSON file that says what a prepared dataset holds, where it came from and how it was made."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any

from in21k.shards_manifest.errors import DatasetError
from in21k.shards_manifest.json_file import is_count, parse_json, read_json_bytes, require_mapping
from in21k.shards_manifest.storage.location import Location
from in21k.shards_manifest.tar import BLOCK

SCHEMA_VERSION = 1
MANIFEST = "manifest.json"
HIERARCHY = "hierarchy.parquet"
CLASSES = "classes.parquet"
SAMPLES = "samples.parquet"
REJECTS = "rejects.parquet"
SPLITS = ("train", "val")
SHARD_SUFFIX = ".tar"
_MOST_CLASSES = 1 << 24
"""Far more than WordNet has."""
_LARGEST_SHARD = 1 << 45
_SCALARS = (str, int, float, type(None))

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
    """For wids, which compares it; empty in datasets that were written without it."""

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> "Shard":
        """Return the shard that the fields of a JSON object describe.

        Raises:
            ValueError, TypeError: a field is missing or unknown, or has a value that no shard has.
        """
        shard = cls(**fields)
        _check_shard(shard)
        return shard


@dataclass(frozen=True)
class TableFile:
    """One Parquet table of the dataset."""

    rows: int
    bytes: int
    sha256: str


class ResizeMode(StrEnum):
    """How an image of any shape is brought to its size."""

    SQUISH = "squish"
    """Resized to size × size, whatever its shape, as the paper's authors do."""
    SHORT_EDGE = "short-edge"
    """Resized so that its short side is size; the shape is kept."""
    CENTER_CROP = "center-crop"
    """Resized so that its short side is size, then cropped to the center size × size."""


class ImageFormat(StrEnum):
    """How images are encoded."""

    JPEG = "jpeg"
    WEBP = "webp"

    @property
    def suffix(self) -> str:
        """The suffix of image members in shards."""
        return ".jpg" if self is ImageFormat.JPEG else f".{self.value}"


@dataclass(frozen=True)
class ImageSpec:
    """What the images of a dataset are like: the parameters of `resize` that its readers need.

    A manifest that lacks a parameter was written before it existed, and has the default.
    """

    size: int | None
    """Side in pixels; None if the manifest does not say."""
    mode: ResizeMode = ResizeMode.SQUISH
    format: ImageFormat = ImageFormat.JPEG
    quality: int | None = None
    """Of the JPEG or WebP, 1 to 100; None if the manifest does not say."""
    copies_small: bool = False
    """Whether images whose longer side is shorter than `size` were copied unchanged (`--compat reference`)."""

    @classmethod
    def of(cls, resize: Mapping[str, Any]) -> "ImageSpec":
        """Return the spec that the manifest's parameters of `resize` describe.

        Raises:
            ValueError: a parameter has an unknown value.
        """
        for name in ("size", "quality"):
            value = resize.get(name)
            if value is not None and (not isinstance(value, int) or value < 1):
                raise ValueError(f"images of {name} {value!r}")
        return cls(
            size=resize.get("size"),
            mode=ResizeMode(resize.get("mode", ResizeMode.SQUISH)),
            format=ImageFormat(resize.get("format", ImageFormat.JPEG)),
            quality=resize.get("quality"),
            copies_small=bool(resize.get("compat")),
        )

    @property
    def is_square(self) -> bool:
        """Whether every image is size × size pixels; otherwise only its short side is `size`."""
        return self.mode is not ResizeMode.SHORT_EDGE

    @property
    def suffix(self) -> str:
        """The suffix of image members in shards."""
        return self.format.suffix

    @property
    def dimensions(self) -> str:
        """The size in words, without the unit: `224 × 224` or `a short side of 224`."""
        size = "?" if self.size is None else self.size
        return f"{size} × {size}" if self.is_square else f"a short side of {size}"


@dataclass(frozen=True, repr=False)
class Manifest:
    """What a prepared dataset holds. It does not depend on the machine, the time or the number of workers."""

    classes: int
    """The number of kept classes, C; class indices run from 0 to C - 1."""
    class_list_sha256: str
    """SHA-256 of the kept wnids in order of class index, one per line."""
    source: Mapping[str, Any]
    """The raw dump: name, layout, bytes, digest of its headers."""
    parameters: Mapping[str, Mapping[str, Any]]
    """The parameters of each stage."""
    counts: Mapping[str, int]
    """Numbers of images and classes at each step."""
    versions: Mapping[str, str]
    """Versions of in21k and of what determines the bytes: Python, Pillow or pillow-simd, libjpeg-turbo, …"""
    splits: Mapping[str, tuple[Shard, ...]]
    """The shards of `train` and `val`, in order."""
    tables: Mapping[str, TableFile] = field(default_factory=dict)
    """The Parquet tables beside the manifest, by file name."""
    schema_version: int = SCHEMA_VERSION

    def __repr__(self) -> str:
        splits = [
            f"{self.samples(split):,} {split} samples in {len(self.splits[split]):,} shards" for split in self.splits
        ]
        return f"Manifest({', '.join([f'{self.classes:,} classes', *splits])})"

    def samples(self, split: str) -> int:
        """Return the number of samples of a split."""
        return sum(shard.samples for shard in self.splits[split])

    def size(self, split: str) -> int:
        """Return the total length of a split's shards in bytes."""
        return sum(shard.bytes for shard in self.splits[split])

    @cached_property
    def images(self) -> ImageSpec:
        """What the images are like."""
        return ImageSpec.of(self.parameters.get("resize", {}))

    @property
    def has_own_taxonomy(self) -> bool:
        """Whether its labels are of another taxonomy than WordNet."""
        return "taxonomy" in self.parameters.get("filter", {})

    def digest(self) -> str:
        """Return the SHA-256 that the manifest's last key stores."""
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
        DatasetError: there is none (it is written last), it is damaged, or its version is newer than this in21k.
    """
    location = dataset.child(MANIFEST)
    if not location.exists():
        if dataset.name == MANIFEST:
            raise DatasetError(f"{dataset.text}: name the dataset's folder, not its manifest")
        raise DatasetError(
            f"{dataset.text}: no {MANIFEST} there; name a folder that `in21k-prep shard` has finished, "
            "since it writes the manifest last"
        )
    try:
        fields = parse_json(read_json_bytes(location))
        version = fields["schema_version"]
        if not is_count(version) or version > SCHEMA_VERSION:
            raise DatasetError(f"{location.text} has schema version {version!r}, newer than this in21k; upgrade it")
        return _from_fields(fields)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DatasetError(f"{location.text} is not a manifest of in21k ({type(error).__name__}: {error})") from error


def is_intact(content: bytes) -> bool:
    """Return whether a manifest is unchanged since it was written.

    One that is older than the seal counts as unchanged if its JSON is formatted as ours; other JSON of ours, such as a
    sidecar's under the manifest's name, does not.
    """
    try:
        fields = parse_json(content)
        sealed = fields.pop(SEAL, None)
        return "schema_version" in fields and content == (_json(fields) if sealed is None else _sealed(fields))
    except (ValueError, TypeError, AttributeError):
        return False


def _sealed(fields: dict[str, Any]) -> bytes:
    return _json({**fields, SEAL: hashlib.sha256(_json(fields)).hexdigest()})


def _json(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields, indent=1).encode() + b"\n"


def _from_fields(fields: dict[str, Any]) -> Manifest:
    splits = {name: tuple(map(Shard.of, fields["splits"][name])) for name in SPLITS}
    tables = {name: TableFile(**table) for name, table in fields["tables"].items()}
    _check_fields(fields)
    for name, table in tables.items():
        _check_table(name, table)
    rest = {
        name: fields[name] for name in ("classes", "class_list_sha256", "source", "parameters", "counts", "versions")
    }
    manifest = Manifest(splits=splits, tables=tables, schema_version=fields["schema_version"], **rest)
    _ = manifest.images  # raises on a bad parameter now, not at the first image
    return manifest


def _check_shard(shard: Shard) -> None:
    _check_relative(shard.path)
    if not (is_count(shard.bytes, _LARGEST_SHARD) and is_count(shard.samples, shard.bytes // (2 * BLOCK))):
        raise ValueError(f"shard {shard.path} with {shard.samples!r} samples in {shard.bytes!r} bytes")
    if shard.samples == 0 or not (isinstance(shard.sha256, str) and isinstance(shard.md5, str)):
        raise ValueError(f"shard {shard.path} with {shard.samples!r} samples and the SHA-256 {shard.sha256!r:.70}")


def _check_table(name: str, table: TableFile) -> None:
    _check_relative(name)
    if not (is_count(table.bytes) and is_count(table.rows) and isinstance(table.sha256, str)):
        raise ValueError(f"table {name} with {table.rows!r:.30} rows in {table.bytes!r:.30} bytes")


def _check_fields(fields: Mapping[str, Any]) -> None:
    """Refuse values of the wrong type or range, before anything is allocated or printed by them."""
    if not is_count(fields["classes"], _MOST_CLASSES):
        raise ValueError(f"{fields['classes']!r:.30} classes")
    if not isinstance(fields["class_list_sha256"], str):
        raise ValueError(f"class_list_sha256 is {fields['class_list_sha256']!r:.60}")  # noqa: TRY004
    require_mapping("source", fields["source"], (*_SCALARS, list))
    require_mapping("parameters", fields["parameters"], dict)
    for stage, parameters in fields["parameters"].items():
        require_mapping(f"parameters.{stage}", parameters, _SCALARS)
    require_mapping("counts", fields["counts"], int)
    require_mapping("versions", fields["versions"], str)


def _check_relative(path: str) -> None:
    """Refuse a path that leaves the dataset's folder, since a manifest may come from anyone."""
    if not isinstance(path, str) or not path.isprintable() or not path:
        raise ValueError(f"path {path!a:.100}")
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or "://" in path:
        raise ValueError(f"path {path!r} leads out of the dataset")

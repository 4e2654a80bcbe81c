"""The rows that pass between the stages, their Parquet schemas, and the vocabularies of why something was refused."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import pyarrow as pa


class Kept(StrEnum):
    """Whether a class stays in the dataset, or why not."""

    KEPT = "kept"
    TOO_FEW_IMAGES = "too-few-images"
    UNKNOWN_WNID = "unknown-wnid"
    """Its name is no noun synset of WordNet 3.0, so it has no place in the hierarchy."""


class Reason(StrEnum):
    """Why something in the dump is not in the dataset."""

    # filter: what lies in the dump
    NOT_A_CLASS_TAR = "not-a-class-tar"
    NOT_IN_A_CLASS = "not-in-a-class"
    CORRUPT_TAR = "corrupt-tar"
    NOT_A_FILE = "not-a-file"
    NOT_AN_IMAGE_NAME = "not-an-image-name"
    UNSAFE_NAME = "unsafe-name"
    MACOS_METADATA = "macos-metadata"
    # split: what is there twice
    DUPLICATE_NAME = "duplicate-name"
    # resize: what does not decode
    EMPTY = "empty"
    NOT_AN_IMAGE = "not-an-image"
    TRUNCATED = "truncated"
    DAMAGED = "damaged"
    TOO_MANY_PIXELS = "too-many-pixels"


class RawImage(NamedTuple):
    """An image as it lies in the dump."""

    name: str
    """File name, within its class."""
    archive: str
    """The file that holds it, relative to the dump; empty where the dump is one file."""
    offset: int
    """Where its bytes begin in that file."""
    size: int
    """Its length in bytes."""
    given_split: str = ""
    """`train` or `val` where the dump says so, as the official processed release does."""


@dataclass(frozen=True, slots=True)
class Reject:
    """Something that is in the dump and not in the dataset."""

    wnid: str
    name: str
    """File name within its class; empty where the class as a whole is meant."""
    stage: str
    reason: Reason
    detail: str
    """What was seen, for people."""


IMAGES_SCHEMA = pa.schema(
    [
        pa.field("wnid", pa.dictionary(pa.int32(), pa.string()), nullable=False),
        pa.field("name", pa.string(), nullable=False),
        pa.field("archive", pa.dictionary(pa.int32(), pa.string()), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("size", pa.int64(), nullable=False),
        pa.field("given_split", pa.dictionary(pa.int8(), pa.string()), nullable=False),  # empty where none is given
    ]
)
"""`images.parquet`: a row per raw image, in the dump's order."""

CLASSES_SCHEMA = pa.schema(
    [
        pa.field("wnid", pa.string(), nullable=False),
        pa.field("images", pa.int64(), nullable=False),  # raw files: what decides whether the class stays
        pa.field("kept", pa.bool_(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),  # of Kept
        pa.field("class_index", pa.int32(), nullable=False),  # rank among kept wnids in byte order; -1 where dropped
    ]
)
"""`classes.parquet` of a work folder: a row per raw class, in byte order of wnid."""

SPLIT_SCHEMA = pa.schema(
    [
        pa.field("class_index", pa.int32(), nullable=False),
        pa.field("key", pa.string(), nullable=False),  # of the sample, unique in the dataset
        pa.field("rank", pa.int32(), nullable=False),  # in its class, by name or by hash; the lowest are val
        pa.field("split", pa.dictionary(pa.int8(), pa.string()), nullable=False),
        pa.field("shuffle_key", pa.uint64(), nullable=False),  # keyed hash of seed and key: the global order
        pa.field("name", pa.string(), nullable=False),
        pa.field("archive", pa.dictionary(pa.int32(), pa.string()), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("size", pa.int64(), nullable=False),
        pa.field("given_split", pa.dictionary(pa.int8(), pa.string()), nullable=False),  # by the dump; mostly empty
    ]
)
"""`split.parquet`: a row per image of a kept class; row groups hold whole classes."""

PART_SCHEMA = pa.schema(
    [
        pa.field("split", pa.dictionary(pa.int8(), pa.string()), nullable=False),
        pa.field("shuffle_key", pa.uint64(), nullable=False),
        pa.field("class_index", pa.int32(), nullable=False),
        pa.field("rank", pa.int32(), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),  # of the sample's first header in the part's tar
        pa.field("size", pa.int64(), nullable=False),  # of all its members with headers and padding
        pa.field("warned", pa.bool_(), nullable=False),  # libjpeg decoded over damage
    ]
)
"""`parts/part-NNNNN.parquet`: a row per resized image in the order of the part's tar: train before val, then by key."""

REJECTS_SCHEMA = pa.schema(
    [
        pa.field("wnid", pa.string(), nullable=False),
        pa.field("name", pa.string(), nullable=False),
        pa.field("stage", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("detail", pa.string(), nullable=False),
    ]
)
"""`rejects.parquet`: a row per thing in the dump that is not in the dataset."""

DATASET_CLASSES_SCHEMA = pa.schema(
    [
        *CLASSES_SCHEMA,
        pa.field("name", pa.string()),  # first lemma; null where WordNet does not know the wnid
        pa.field("images_train", pa.int64(), nullable=False),
        pa.field("images_val", pa.int64(), nullable=False),
        pa.field("images_rejected", pa.int64(), nullable=False),  # by split and resize
    ]
)
"""`classes.parquet` of a dataset: the work folder's, with what became of the images."""


def rejects_table(rejects: list[Reject]) -> pa.Table:
    """Return rejects as a table of REJECTS_SCHEMA, ordered by class, name and stage."""
    rows = sorted((r.wnid, r.name, r.stage, r.reason.value, r.detail) for r in rejects)
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(REJECTS_SCHEMA)
    return pa.Table.from_arrays([pa.array(column, pa.string()) for column in columns], schema=REJECTS_SCHEMA)

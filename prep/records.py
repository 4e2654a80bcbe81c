"""The rows that pass between the stages, their Parquet schemas, and the reasons for which something is rejected."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import pyarrow as pa

from in21k.shards_manifest.images.faults import ImageFault
from in21k.shards_manifest.sample_table import FINGERPRINTS


class Kept(StrEnum):
    """Whether a class is kept, or why not."""

    KEPT = "kept"
    TOO_FEW_IMAGES = "too-few-images"
    UNKNOWN_WNID = "unknown-wnid"
    """Not a noun synset of WordNet 3.0, so it has no place in the hierarchy."""
    UNKNOWN_LABEL = "unknown-label"
    """Likewise in a taxonomy that is not WordNet: not among its labels."""
    ANCESTOR = "ancestor"
    """Kept as a class without images of its own, because a class below it is kept; only where the taxonomy is not
    WordNet. Its images, fewer than a class must have, are dropped."""
    NOT_LISTED = "not-listed"
    """`--classes` does not name it, or `--split-file` no image of it."""
    EXCLUDED = "excluded"
    EXCLUDED_SUBTREE = "excluded-subtree"
    """It is, or lies below, a class of `--exclude-subtree`."""
    OUTSIDE_SUBTREE = "outside-subtree"
    """It neither is nor lies below a class of `--only-subtree`."""

    @property
    def word(self) -> str:
        """What the names of counts call it."""
        return self.value.replace("-", "_")

    @property
    def is_choice(self) -> bool:
        """Whether it is the user's selection that drops the class."""
        return self in (Kept.NOT_LISTED, Kept.EXCLUDED, Kept.EXCLUDED_SUBTREE, Kept.OUTSIDE_SUBTREE)


class Reason(StrEnum):
    """Why something in the dump is rejected."""

    # filter: by what the dump contains
    NOT_A_CLASS_TAR = "not-a-class-tar"
    NOT_IN_A_CLASS = "not-in-a-class"
    CORRUPT_TAR = "corrupt-tar"
    BEHIND_END_MARK = "behind-end-mark"
    """Bytes behind a tar's end mark that are no tar."""
    SPARSE_FILE = "sparse-file"
    """A file with holes, which lies in pieces in its tar."""
    NOT_A_FILE = "not-a-file"
    NOT_AN_IMAGE_NAME = "not-an-image-name"
    UNSAFE_NAME = "unsafe-name"
    MACOS_METADATA = "macos-metadata"
    UNREADABLE_MEMBER = "unreadable-member"
    """A member of a zip that is encrypted, packed in an unusual way, absurdly large, or not where it should be."""
    # split: by name within the class
    DUPLICATE_NAME = "duplicate-name"
    IN_NO_LIST = "in-no-list"
    """Neither list of `--split-file` names it."""
    # resize: by decoding, in the words of the image gateway
    EMPTY = ImageFault.EMPTY.value
    NOT_AN_IMAGE = ImageFault.NOT_AN_IMAGE.value
    TRUNCATED = ImageFault.TRUNCATED.value
    DAMAGED = ImageFault.DAMAGED.value
    TOO_MANY_PIXELS = ImageFault.TOO_MANY_PIXELS.value
    TOO_MANY_SCANS = ImageFault.TOO_MANY_SCANS.value
    # shard: by the twin that stays
    DUPLICATE_WITHIN_CLASS = "duplicate-within-class"
    DUPLICATE_TRAIN_VAL = "duplicate-train-val"
    """In train, and a twin is in val."""
    DUPLICATE_AGAINST = "duplicate-against"
    """A twin is in another set."""
    TOO_SMALL = ImageFault.TOO_SMALL.value


class RawImage(NamedTuple):
    """An image in the dump."""

    name: str
    """File name within its class; before `split`, with the folders that it is in there."""
    archive: str
    """The file that contains it, relative to the dump; empty if the dump is a single file."""
    offset: int
    """Where its bytes begin in that file."""
    size: int
    """Its length in bytes."""
    given_split: str = ""
    """`train` or `val` if the dump brings its own split, as the official processed release does; else empty."""


@dataclass(frozen=True, slots=True)
class Reject:
    """Something that is in the dump but not in the dataset."""

    wnid: str
    name: str
    """File name within its class; empty for the class as a whole."""
    stage: str
    reason: Reason
    detail: str
    """What was seen, for human readers."""


IMAGES_SCHEMA = pa.schema(
    [
        pa.field("wnid", pa.dictionary(pa.int32(), pa.string()), nullable=False),
        pa.field("name", pa.string(), nullable=False),
        pa.field("archive", pa.dictionary(pa.int32(), pa.string()), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("size", pa.int64(), nullable=False),
        pa.field("given_split", pa.dictionary(pa.int8(), pa.string()), nullable=False),  # empty if the dump brings none
    ]
)
"""`images.parquet`: a row per raw image, in the order of the dump; of a mixed dump, class by class."""

CLASSES_SCHEMA = pa.schema(
    [
        pa.field("wnid", pa.string(), nullable=False),
        pa.field("images", pa.int64(), nullable=False),  # number of raw files, which decides whether the class is kept
        pa.field("kept", pa.bool_(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),  # a value of Kept
        pa.field("class_index", pa.int32(), nullable=False),  # rank among kept wnids in byte order; -1 if not kept
    ]
)
"""`classes.parquet` of a work folder: a row per raw class and per ancestor, in byte order of wnid.

`wnid` holds the class's label, which is a wnid only where the taxonomy is WordNet.
"""

SPLIT_SCHEMA = pa.schema(
    [
        pa.field("class_index", pa.int32(), nullable=False),
        pa.field("key", pa.string(), nullable=False),  # of the sample, unique in the dataset
        pa.field("rank", pa.int32(), nullable=False),  # within its class, by name or by hash; the lowest ranks are val
        pa.field("split", pa.dictionary(pa.int8(), pa.string()), nullable=False),
        pa.field("shuffle_key", pa.uint64(), nullable=False),  # keyed hash of seed and key; orders the whole dataset
        pa.field("name", pa.string(), nullable=False),
        pa.field("archive", pa.dictionary(pa.int32(), pa.string()), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("size", pa.int64(), nullable=False),
        pa.field("given_split", pa.dictionary(pa.int8(), pa.string()), nullable=False),  # by the dump; usually empty
    ]
)
"""`split.parquet`: a row per image of a kept class. A class is never divided between row groups; but where classes lie
mixed, the rows are in the order of the dump."""

SPARE = "spare"
"""The split, in `split.parquet`, of an image that is not selected, but is next in line to take a val image's place."""

PART_SCHEMA = pa.schema(
    [
        pa.field("split", pa.dictionary(pa.int8(), pa.string()), nullable=False),  # or as PROVISIONAL says
        pa.field("shuffle_key", pa.uint64(), nullable=False),
        pa.field("class_index", pa.int32(), nullable=False),
        pa.field("rank", pa.int32(), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),  # of the sample's first header in the part's tar
        pa.field("size", pa.int64(), nullable=False),  # of all its members with headers and padding
        pa.field("warned", pa.bool_(), nullable=False),  # libjpeg decoded it with a warning
        pa.field("crc32", pa.uint32()),  # of those bytes; null in parts of older versions
        *FINGERPRINTS,
    ]
)
"""`parts/part-NNNNN.parquet`: a row per resized image in the order of the part's tar: by split, then shuffle key."""

PROVISIONAL = {"train": "train?", "val": "val?", SPARE: "spare?"}
"""What a part of a mixed dump calls the split of an image that the dump gives none: which images of a class are val
shows only when it is known which of them decode, and they lie in all parts."""

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
        pa.field("name", pa.string()),  # first lemma; null if the wnid is not in WordNet
        pa.field("images_train", pa.int64(), nullable=False),
        pa.field("images_val", pa.int64(), nullable=False),
        pa.field("images_rejected", pa.int64(), nullable=False),  # by split and resize
        pa.field("images_unselected", pa.int64()),  # of kept classes; no such column where all images were wanted
    ]
)
"""`classes.parquet` of a dataset: the columns of the work folder's, and what became of the images."""


def rejects_table(rejects: list[Reject]) -> pa.Table:
    """Return rejects as a table of REJECTS_SCHEMA, sorted by class, name and stage."""
    rows = sorted((r.wnid, r.name, r.stage, r.reason.value, r.detail) for r in rejects)
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(REJECTS_SCHEMA)
    return pa.Table.from_arrays([pa.array(column, pa.string()) for column in columns], schema=REJECTS_SCHEMA)

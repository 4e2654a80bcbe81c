"""The rows of what is dropped: each image with its name, and the twin because of which it goes."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from in21k.prep.duplicates.drop import Twins
from in21k.prep.duplicates.image_sets import ListedSet, PreparedSet
from in21k.prep.duplicates.twins import IntArray, in_words
from in21k.prep.records import REJECTS_SCHEMA, SPLIT_SCHEMA, Reason
from in21k.prep.stages.class_rows import read_class_rows
from in21k.prep.stages.image_rows import open_image_rows
from in21k.prep.stages.merge import image_codes
from in21k.prep.stages.record import SPLIT
from in21k.shards_manifest.storage.location import Location

DROPPED_SCHEMA = pa.schema(
    [
        pa.field("class_index", pa.int32(), nullable=False),
        pa.field("rank", pa.int32(), nullable=False),
        pa.field("is_spare", pa.bool_(), nullable=False),  # it was not selected, and can no longer take a place in val
        *REJECTS_SCHEMA,
    ]
)
"""`dropped-….parquet` in the work folder: a row per image that is dropped, in order of class and rank."""


def dropped_table(
    work: Location,
    codes: IntArray,
    reasons: Sequence[Reason | None],
    twins: Twins,
    others: Sequence[ListedSet | PreparedSet],
    is_spare: np.ndarray[tuple[int], np.dtype[np.bool_]],
) -> pa.Table:
    """Return the table of the images that are dropped.

    Args:
        work: the work folder.
        codes: int64 [n]: the code of every image, as by `image_codes`.
        reasons: for each image why it is dropped; None where it stays.
        twins: of each image; numbers from n on are those of other sets, one set after the other.
        others: these sets.
        is_spare: bool [n].
    """
    gone = np.array([at for at, reason in enumerate(reasons) if reason is not None], np.int64)
    gone = gone[np.argsort(codes[gone])]
    targets = twins.images[gone]
    own = targets[targets < len(codes)]
    names = _names(work, np.unique(np.concatenate([codes[gone], codes[own]])))
    foreign = dict(_foreign_names(np.unique(targets[targets >= len(codes)]), len(codes), others))
    classes = read_class_rows(work)
    wnids = classes.filter(classes["kept"])["wnid"].to_pylist()
    indices = codes[gone] >> 32
    details = [
        f"twin of {foreign[target] if target in foreign else names[codes[target]][0]} ({in_words(distance, likeness)})"
        for target, distance, likeness in zip(
            targets.tolist(), twins.distances[gone].tolist(), twins.likeness[gone].tolist(), strict=True
        )
    ]
    columns = [
        indices.astype(np.int32),
        (codes[gone] & 0xFFFFFFFF).astype(np.int32),
        is_spare[gone],
        [wnids[index] for index in indices.tolist()],
        [names[code][1] for code in codes[gone].tolist()],
        ["shard"] * len(gone),
        [str(reasons[at]) for at in gone.tolist()],
        details,
    ]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, DROPPED_SCHEMA, strict=True)]
    return pa.Table.from_arrays(arrays, schema=DROPPED_SCHEMA)


def _names(work: Location, codes: IntArray) -> dict[int, tuple[str, str]]:
    """Return the key and the name of images by their codes."""
    found: dict[int, tuple[str, str]] = {}
    with open_image_rows(work / SPLIT, SPLIT_SCHEMA) as rows:
        for group in range(len(rows)):
            table = rows.read(group, names=["class_index", "rank", "key", "name"])
            of_rows = image_codes(table["class_index"].to_numpy(), table["rank"].to_numpy())
            wanted = pa.array(np.isin(of_rows, codes))
            chosen = table.filter(wanted)
            pairs = zip(chosen["key"].to_pylist(), chosen["name"].to_pylist(), strict=True)
            found.update(zip(of_rows[wanted.to_numpy(zero_copy_only=False)].tolist(), pairs, strict=True))
    return found


def _foreign_names(images: IntArray, first: int, others: Sequence[ListedSet | PreparedSet]) -> list[tuple[int, str]]:
    """Return the numbers of images in other sets, and what to call each: its set's name, and its own."""
    named: list[tuple[int, str]] = []
    start = first
    for members in others:
        own = images[(images >= start) & (images < start + len(members))]
        name = members.location.text.split("?")[0].rstrip("/").rpartition("/")[2]
        keys = members.keys(own - start)
        named += [(at, f"{key} in {name}") for at, key in zip(own.tolist(), keys, strict=True)]
        start += len(members)
    return named

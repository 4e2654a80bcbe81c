"""A part: the resized images of a group of classes, sorted by shuffle key, ready to be merged into shards.

A part's tar holds the bytes of each sample exactly as a shard does, so that a shard is a merge of byte ranges.
"""

import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from in21k.prep.errors import DamagedPartError
from in21k.prep.images.fingerprint import Fingerprint
from in21k.prep.records import PART_SCHEMA, PROVISIONAL, REJECTS_SCHEMA, Reject, rejects_table
from in21k.prep.stages.held import HeldBytes, Place
from in21k.prep.stages.record import PARTS, RESIZE_RECORD
from in21k.prep.tables import write_table
from in21k.shards_manifest.errors import DamagedTableError, one_line
from in21k.shards_manifest.manifest import SPLITS
from in21k.shards_manifest.parquet_table import read_columns
from in21k.shards_manifest.sample_table import FINGERPRINTS, LABEL_SUFFIX
from in21k.shards_manifest.storage.location import Location
from in21k.shards_manifest.tar import END, member_pieces

_TABLE = re.compile(r"part-(\d+)\.parquet")

_LARGEST = {"offset": (1 << 62), "size": (1 << 31) - 1}
"""What a part's table may say in bytes; shards store sizes in 32 bits."""

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class ResizedImage:
    """A resized image as a sample, and what it is sorted by."""

    split: str
    shuffle_key: int
    class_index: int
    rank: int
    key: str
    image: Place
    """Where its bytes are held."""
    warned: bool
    """Whether libjpeg decoded it with a warning."""
    fingerprint: Fingerprint

    def order(self) -> tuple[str, int, int, int]:
        """Return the sort key of parts and shards."""
        return (self.split, self.shuffle_key, self.class_index, self.rank)


def sample_bytes(key: str, suffix: str, image: bytes, class_index: int) -> bytes:
    """Return the members of a sample as in a shard: image and label, with headers and padding."""
    label = member_pieces(key + LABEL_SUFFIX, b"%d" % class_index)
    return b"".join((*member_pieces(key + suffix, image), *label))


def part_path(folder: Location, number: int, suffix: str) -> Location:
    """Return the path of a part's tar (`.tar`), table (`.parquet`) or rejects (`.rejects.parquet`)."""
    return folder / f"part-{number:05d}{suffix}"


def write_part(
    folder: Location, number: int, images: list[ResizedImage], held: HeldBytes, suffix: str, rejects: list[Reject]
) -> None:
    """Write a part; its table comes last and shows that the rest is complete.

    Args:
        folder: the folder of the parts.
        number: of the part.
        images: those of the part, in any order; they are sorted.
        held: their bytes.
        suffix: the ending of their names.
        rejects: what is not in the part.

    Raises:
        DatasetError: the file system is full or refuses the write.
    """
    images.sort(key=ResizedImage.order)
    sizes, checksums = [], []
    with part_path(folder, number, ".tar").write() as tar:
        for image in images:
            sample = sample_bytes(image.key, suffix, held.read(image.image), image.class_index)
            sizes.append(len(sample))
            checksums.append(zlib.crc32(sample))
            tar.write(sample)
        tar.write(END)
    write_table(part_path(folder, number, ".rejects.parquet"), rejects_table(rejects), checked=True)
    columns = [
        [image.split for image in images],
        [image.shuffle_key for image in images],
        [image.class_index for image in images],
        [image.rank for image in images],
        list(accumulate(sizes[:-1], initial=0))[: len(images)],
        sizes,
        [image.warned for image in images],
        checksums,
        *([getattr(image.fingerprint, name) for image in images] for name in FINGERPRINTS.names),
    ]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, PART_SCHEMA, strict=True)]
    write_table(part_path(folder, number, ".parquet"), pa.Table.from_arrays(arrays, schema=PART_SCHEMA), checked=True)


def is_complete(folder: Location, number: int) -> bool:
    """Return whether a part has been written completely."""
    return part_path(folder, number, ".parquet").exists()


def count_parts(folder: Location) -> int:
    """Return the number of complete parts in a folder."""
    return len(complete_parts(folder))


def complete_parts(folder: Location) -> set[int]:
    """Return the numbers of the complete parts in a folder."""
    return {int(found[1]) for name in folder.names() if (found := _TABLE.fullmatch(name))}


def read_part(folder: Location, number: int, classes: int) -> pa.Table:
    """Return a part's table, with PART_SCHEMA.

    Args:
        folder: the folder of the parts.
        number: of the part.
        classes: the number of kept classes.

    Raises:
        DamagedPartError: it cannot be read, or says what no part does.
    """
    table = _read(folder, number, ".parquet", PART_SCHEMA)
    for name, most in {"class_index": classes - 1, **_LARGEST}.items():
        found = pc.min_max(table[name]).as_py()
        if len(table) and not 0 <= found["min"] <= found["max"] <= most:
            raise damaged_part(folder, number, f"its {name} is {found['min']} to {found['max']}", ".parquet")
    if odd := {*table["split"].unique().to_pylist()} - {*SPLITS, *PROVISIONAL.values()}:
        raise damaged_part(folder, number, f"it has the split {min(odd)[:60]!a}", ".parquet")
    return table


def part_has_fingerprints(folder: Location, number: int) -> bool:
    """Return whether a part's table has the columns of FINGERPRINTS, which those of older versions lack.

    Raises:
        DamagedPartError: it cannot be read.
    """
    return any(column.null_count < len(column) for column in read_part_fingerprints(folder, number).columns)


def read_part_fingerprints(folder: Location, number: int) -> pa.Table:
    """Return the columns of FINGERPRINTS of a part's table, null where an older version wrote it.

    Raises:
        DamagedPartError: it cannot be read.
    """
    return _read(folder, number, ".parquet", FINGERPRINTS)


def read_part_rejects(folder: Location, number: int) -> pa.Table:
    """Return a part's rejects, with REJECTS_SCHEMA.

    Raises:
        DamagedPartError: they cannot be read.
    """
    return _read(folder, number, ".rejects.parquet", REJECTS_SCHEMA)


def read_samples(folder: Location, number: int, offset: int, size: int) -> bytes:
    """Return a range of a part's tar.

    Raises:
        DamagedPartError: the tar is gone, or ends before the range does.
    """
    path = part_path(folder, number, ".tar")
    if path.is_local and not path.exists():
        raise damaged_part(folder, number, "it is gone")
    reader = path.open_ranges()
    try:
        data = reader.read(offset, size)
    finally:
        reader.close()
    if len(data) < size:
        raise damaged_part(folder, number, f"it ends before byte {offset + size}")
    return data


def damaged_part(folder: Location, number: int, seen: str, suffix: str = ".tar") -> DamagedPartError:
    """Return the error that says what is wrong with a part."""
    path = part_path(folder, number, suffix)
    return DamagedPartError(f"{path.text} is damaged ({seen}); `in21k-prep resize` makes the part anew", number)


@contextmanager
def discarding_damaged(work: Location) -> Iterator[None]:
    """Discard a part that turns out to be damaged within the block, so that `resize` makes it anew.

    Raises:
        DamagedPartError: a part was damaged.
    """
    try:
        yield
    except DamagedPartError as error:
        (work / RESIZE_RECORD).delete_file()
        part_path(work / PARTS, error.number, ".parquet").delete_file()
        raise


def with_sound_parts(stages: Callable[[], Result], note: Callable[[str], object]) -> Result:
    """Return what resize and the stages after it return; run them again, once for each part that they discard.

    Args:
        stages: runs resize and what follows.
        note: told what was wrong with a part.

    Raises:
        DamagedPartError: a part that was made anew is damaged again.
    """
    seen: set[int] = set()
    while True:
        try:
            return stages()
        except DamagedPartError as error:
            if error.number in seen:
                raise
            seen.add(error.number)
            note(str(error))


def _read(folder: Location, number: int, suffix: str, schema: pa.Schema) -> pa.Table:
    try:
        return read_columns(part_path(folder, number, suffix), schema)
    except DamagedTableError as error:
        raise damaged_part(folder, number, one_line(error), suffix) from error

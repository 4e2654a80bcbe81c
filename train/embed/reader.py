"""Embeddings that are complete, read into memory: the vectors of all images, and what is known of each."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from in21k.shards_manifest.command.numbers import bytes_text
from in21k.shards_manifest.errors import one_line
from in21k.shards_manifest.json_file import parse_json, read_json_bytes
from in21k.shards_manifest.markers import EMBEDDINGS, EMBEDDINGS_BEGUN
from in21k.shards_manifest.parquet_table import require_plausible
from in21k.shards_manifest.storage.location import locate
from in21k.train.config.records import Record
from in21k.train.embed.folder import file_name
from in21k.train.embed.rows import read_facts, schema
from in21k.train.errors import TrainError
from in21k.train.stream.worker_count import available_memory

_MOST_FILES = 1 << 24
_MOST_VALUES = 1 << 20
_COLUMNS = ("key", "path", "split", "label", "class_index", "fault")


@dataclass(frozen=True, eq=False)
class Embeddings:
    """The vectors of N images, in the order in which they were embedded."""

    name: str
    """Of the folder, for messages."""
    images: pa.Table
    """N rows: the columns of an embedding file but for the vectors."""
    vectors: Any
    """float16 or float32 [N, D]; zeros where an image does not decode."""
    record: dict[str, Any]
    """The settings that they were made under, and the counts."""

    def __len__(self) -> int:
        return len(self.images)


def holds_embeddings(folder: Path) -> bool:
    """Return whether a folder holds embeddings, complete or not."""
    return (folder / EMBEDDINGS_BEGUN).is_file()


def require_complete(folder: Path) -> None:
    """Refuse embeddings that are not complete.

    Raises:
        TrainError: they are not.
    """
    if not (folder / EMBEDDINGS).exists():
        raise TrainError(f"{folder}: the embeddings are not complete; continue them with in21k-train embed … --resume")


def read_embeddings(folder: Path) -> Embeddings:
    """Return the embeddings in a folder.

    Raises:
        TrainError: they are not complete, are damaged, or do not fit into memory.
    """
    require_complete(folder)
    path = folder / EMBEDDINGS
    try:
        record = parse_json(read_json_bytes(locate(path)))
        images = Record(record).whole("images", 1)
        dimensions = Record(record).whole("dimensions", 1, _MOST_VALUES)
        files = [each.whole("images", 1) for each in Record(record).sections("files")]
        Record(record).whole("faults")
        for key in ("name", "weights_sha256"):
            Record(record).section("model").text(key)
        Record(record).section("model").whole("image_size", 1)
        Record(record).text("layer")
        dtype = {"float16": np.float16, "float32": np.float32}[Record(record).text("dtype")]
        if sum(files) != images or len(files) > _MOST_FILES:
            raise ValueError(f"its files have {sum(files)} images, not {images}")
    except (ValueError, KeyError) as error:
        raise TrainError(f"{path} is damaged ({one_line(error)}); embed the images again") from error
    size = images * dimensions * np.dtype(dtype).itemsize
    if size > available_memory():
        raise TrainError(f"{folder}: its vectors take {bytes_text(size)}, more than this machine's memory")
    vectors, tables, start = np.zeros((images, dimensions), dtype), [], 0
    for number, rows in enumerate(files):
        for table in _row_groups(folder / file_name(number), rows, dimensions, np.dtype(dtype).name):
            vectors[start : start + len(table)] = _vectors(table["vector"], dimensions)
            tables.append(table.select(_COLUMNS))
            start += len(table)
    return Embeddings(str(folder), pa.concat_tables(tables), vectors, record)


def _row_groups(path: Path, rows: int, dimensions: int, dtype: str) -> Iterator[pa.Table]:
    """Yield the row groups of an embedding file.

    Raises:
        TrainError: it is damaged, or another one than the record says.
    """
    facts = read_facts(path)
    if (facts.rows, facts.dimensions) != (rows, dimensions):
        raise TrainError(
            f"{path} has {facts.rows} vectors of {facts.dimensions} values, not {rows} of {dimensions}; embed the "
            "images again"
        )
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            require_plausible(file.metadata, path.stat().st_size)
            _require_columns(file.schema_arrow, dimensions, dtype)
            faults = 0
            for group in range(file.num_row_groups):
                table = file.read_row_group(group, columns=[*_COLUMNS, "vector"], use_threads=False)
                _require_whole(table)
                faults += len(table) - table["fault"].null_count
                yield table
            if faults != facts.faults:
                raise ValueError(f"{faults} of its images have a fault, not {facts.faults}")
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise TrainError(f"{path} is damaged ({one_line(error)}); embed the images again") from error


def _require_columns(found: pa.Schema, dimensions: int, dtype: str) -> None:
    """Refuse columns that `embed` does not write.

    Raises:
        ValueError: one is missing, or has another type.
    """
    wanted = [schema(dimensions, dtype, is_single_label=is_single).field for is_single in (True, False)]
    for name in (*_COLUMNS, "vector"):
        at = found.get_field_index(name)
        if at < 0 or all(found.field(at).type != field(name).type for field in wanted):
            there = "missing" if at < 0 else f"of type {found.field(at).type}"
            raise ValueError(f"its column {name} is {there}; {wanted[0](name).type} is what embed writes")


def _require_whole(table: pa.Table) -> None:
    """Refuse rows that are neither an image with its vector nor one with a fault.

    Raises:
        ValueError: there is one.
    """
    if table["key"].null_count:
        raise ValueError("an image has no key")
    neither = pc.equal(table["vector"].is_null(), table["fault"].is_null())
    if pc.any(neither).as_py():
        key = table["key"][pc.index(neither, True).as_py()].as_py()
        raise ValueError(f"{key} has not either a vector or a fault")


def _vectors(column: pa.ChunkedArray, dimensions: int) -> Any:
    """Return vectors as float16 or float32 [n, D], zeros where there is none."""
    array = column.combine_chunks()
    values = array.values.to_numpy(zero_copy_only=False).reshape(-1, dimensions)
    values = values[array.offset : array.offset + len(array)]
    if array.null_count:
        return np.where(array.is_valid().to_numpy(zero_copy_only=False)[:, None], values, np.zeros((), values.dtype))
    return values

"""The embedding files: a row per image with its key, labels and vector, as Parquet with the same bytes each time."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from in21k.shards_manifest.errors import one_line
from in21k.shards_manifest.parquet_table import require_plausible
from in21k.shards_manifest.storage.local_files import atomic_path
from in21k.train.data.open_datasets.image_files import printable
from in21k.train.embed.source import EmbeddingSource, Piece
from in21k.train.errors import TrainError
from in21k.train.stream.batch import NamedSample

METADATA = b"in21k"
"""Under which a file's own metadata has its `FileFacts`."""

ROW_GROUP = 4096
"""Rows that are read at once at least; of 2,048 values in float16, they take 16 MB."""


@dataclass(frozen=True)
class FileFacts:
    """What an embedding file says of itself."""

    rows: int
    dimensions: int
    """Length of each vector."""
    faults: int
    """Images without a vector."""
    settings: str
    """SHA-256 of the settings that it was written under."""


@dataclass(frozen=True, eq=False)
class FileContent:
    """The content of an embedding file, n images of a split."""

    piece: Piece
    first: int
    """Number of the first image in the split."""
    named: Sequence[NamedSample]
    vectors: Any
    """float16 or float32 [n, D]; of no meaning where an image does not decode."""


def schema(dimensions: int, dtype: str, *, is_single_label: bool) -> pa.Schema:
    """Return the columns of an embedding file, for vectors of a length and a type (float16 or float32)."""
    value = pa.float16() if dtype == "float16" else pa.float32()
    label, class_index = pa.string(), pa.int32()
    return pa.schema(
        [
            pa.field("key", pa.string(), nullable=False),
            pa.field("path", pa.string()),
            pa.field("split", pa.string()),
            pa.field("label", label if is_single_label else pa.list_(label)),
            pa.field("class_index", class_index if is_single_label else pa.list_(class_index)),
            pa.field("vector", pa.list_(value, dimensions)),
            pa.field("fault", pa.string()),
        ]
    )


def write_file(path: Path, content: FileContent, source: EmbeddingSource, settings: str) -> None:
    """Write an embedding file atomically.

    Raises:
        TrainError: a vector has values that its type cannot hold.
        DatasetError: the file cannot be written.
    """
    is_fine = np.array([not sample.fault for sample in content.named])
    _require_finite(path, content, is_fine)
    facts = {"faults": int((~is_fine).sum()), "settings": settings}
    table = _table(content, source, is_fine)
    table = table.replace_schema_metadata({METADATA: json.dumps(facts)})
    plain = [name for name in table.schema.names if name != "vector"]
    with atomic_path(path) as temporary:
        pq.write_table(
            table,
            temporary,
            row_group_size=ROW_GROUP,
            compression={**dict.fromkeys(_leaves(table.schema, plain), "zstd"), "vector.list.element": "none"},
            use_dictionary=_leaves(table.schema, ["path", "split", "label", "class_index"]),
            write_statistics=False,
        )


def _table(content: FileContent, source: EmbeddingSource, is_fine: Any) -> pa.Table:
    count, dimensions = content.vectors.shape
    columns = schema(dimensions, str(content.vectors.dtype), is_single_label=source.is_single_label)
    indices = list(source.labels([sample.label_id for sample in content.named]))
    names: list[list[str]] = [[source.class_names[at] for at in each] for each in indices]
    one = source.is_single_label
    vectors = np.where(is_fine[:, None], content.vectors, np.zeros((), content.vectors.dtype))
    arrays = {
        "key": [printable(sample.key) for sample in content.named],
        "path": content.piece.where.paths(np.arange(content.first, content.first + count)),
        "split": [content.piece.split] * count,
        "label": [each[0] if each else None for each in names] if one else names,
        "class_index": [each[0] if each else None for each in indices] if one else indices,
        "fault": [sample.fault or None for sample in content.named],
    }
    built = {name: pa.array(values, columns.field(name).type) for name, values in arrays.items()}
    built["vector"] = pa.FixedSizeListArray.from_arrays(
        pa.array(vectors.reshape(-1)), type=columns.field("vector").type, mask=pa.array(~is_fine)
    )
    return pa.Table.from_arrays([built[name] for name in columns.names], schema=columns)


def _leaves(columns: pa.Schema, names: Sequence[str]) -> list[str]:
    """Return columns as Parquet names them: a list's values are a column of their own."""
    return [f"{name}.list.element" if pa.types.is_list(columns.field(name).type) else name for name in names]


def _require_finite(path: Path, content: FileContent, is_fine: Any) -> None:
    wrong = np.flatnonzero(is_fine & ~np.isfinite(content.vectors).all(axis=1))
    if len(wrong):
        hint = "take --dtype float32" if content.vectors.dtype == np.float16 else "the weights are damaged"
        key = printable(content.named[wrong[0]].key)
        raise TrainError(f"{path}: the vector of {key} has values that {content.vectors.dtype} cannot hold; {hint}")


def read_facts(path: Path) -> FileFacts:
    """Return what an embedding file says of itself; of its rows, nothing is read.

    Raises:
        TrainError: it is damaged, or no such file.
    """
    try:
        with pq.ParquetFile(path) as file:
            require_plausible(file.metadata, path.stat().st_size)
            stored = json.loads((file.schema_arrow.metadata or {})[METADATA])
            return FileFacts(
                rows=int(file.metadata.num_rows),
                dimensions=int(file.schema_arrow.field("vector").type.list_size),
                faults=int(stored["faults"]),
                settings=str(stored["settings"]),
            )
    except (pa.ArrowException, OSError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise TrainError(
            f"{path} is no embedding file ({one_line(error)}); delete it, and start again with --resume"
        ) from error

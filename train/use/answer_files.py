"""Files of predictions: CSV, Parquet or a line of JSON per image, written as predictions come, whole or not at all."""

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from in21k.shards_manifest.markers import require_file_place
from in21k.shards_manifest.storage.local_files import atomic_path
from in21k.train.errors import TrainError
from in21k.train.use.answer_rows import SCHEMA, prediction_rows

_SUFFIXES = (".csv", ".parquet", ".jsonl")


class _Answer(Protocol):
    """What a model says of one image."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""


_Any = TypeVar("_Any", bound=_Answer)


@dataclass(frozen=True)
class Table(Generic[_Any]):
    """The rows that answers of one kind have in a CSV or in Parquet."""

    schema: pa.Schema
    rows: Callable[[_Any], Iterable[Mapping[str, Any]]]
    """Returns an answer's rows."""

    def start(self, suffix: str) -> tuple[bytes, str]:
        """Return what a file of answers begins with, and what it is called."""
        if suffix == ".csv":
            return ",".join(self.schema.names).encode(), "a CSV of predictions"
        return (b"PAR1", "a Parquet file") if suffix == ".parquet" else (b'{"image": ', "a file of predictions")


CLASSES = Table(SCHEMA, prediction_rows)
"""What images show."""

_GROUP = 1 << 16
"""Rows that are held in memory: a row group of a Parquet file."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What spreadsheets take for the beginning of a formula."""

Write: TypeAlias = Callable[[Any], object]


def check_output_name(path: Path) -> None:
    """Refuse a file whose name does not say what kind it is, or whose folder is missing.

    Raises:
        TrainError: so it is.
    """
    if path.suffix.lower() not in _SUFFIXES:
        raise TrainError(f"--output {path}: give a name that ends in .csv, .parquet or .jsonl")
    if not path.absolute().parent.is_dir():
        raise TrainError(f"--output {path}: there is no folder {path.parent}; make it, or give another name")


def written(predictions: Iterable[_Any], path: Path, table: Table[Any] = CLASSES) -> Iterator[_Any]:
    """Yield predictions after writing each to a file, which appears once all are there.

    Args:
        predictions: read once, and a few rows of them held at a time.
        path: its suffix says the kind: `.csv` and `.parquet` have the table's columns, `.jsonl` a line per image.
        table: of such predictions.

    Raises:
        TrainError: the file's name does not say what kind it is, or its folder is missing.
        DatasetError: it exists and is something else, or cannot be written.
    """
    check_output_name(path)
    suffix = path.suffix.lower()
    require_file_place(path, *table.start(suffix), option="--output")
    return _written(predictions, path, {".csv": _csv, ".parquet": _parquet, ".jsonl": _lines}[suffix], table)


def _written(
    predictions: Iterable[_Any],
    path: Path,
    opened: Callable[[Path, Table[Any]], AbstractContextManager[Write]],
    table: Table[_Any],
) -> Iterator[_Any]:
    with atomic_path(path) as temporary, opened(temporary, table) as write:
        for prediction in predictions:
            write(prediction)
            yield prediction


@contextmanager
def _csv(path: Path, table: Table[Any]) -> Iterator[Write]:
    with path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        writer = csv.DictWriter(file, table.schema.names, lineterminator="\n")
        writer.writeheader()
        yield lambda prediction: writer.writerows(map(_plain, table.rows(prediction)))


@contextmanager
def _parquet(path: Path, table: Table[Any]) -> Iterator[Write]:
    schema = table.schema
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        rows: list[Mapping[str, Any]] = []

        def flush() -> None:
            columns = {name: [_encodable(row[name]) for row in rows] for name in schema.names}
            writer.write_table(pa.table(columns, schema=schema))
            rows.clear()

        def write(prediction: Any) -> None:
            rows.extend(table.rows(prediction))
            if len(rows) >= _GROUP:
                flush()

        yield write
        flush()


@contextmanager
def _lines(path: Path, _: Table[Any]) -> Iterator[Write]:
    with closing(path.open("w", encoding="ascii")) as file:
        yield lambda prediction: print(json.dumps(prediction.to_dict()), file=file)


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row for a CSV, in which no text is a formula to a spreadsheet."""
    return {
        name: f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
        for name, value in row.items()
    }


def _encodable(value: Any) -> Any:
    """Return a value that UTF-8 can hold: of a path that is no UTF-8, the odd bytes escaped."""
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value

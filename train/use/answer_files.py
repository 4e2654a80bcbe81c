"""Files of predictions: CSV, Parquet or a line of JSON per image, written as predictions come, whole or not at all."""

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from in21k.shards_manifest.markers import require_file_place
from in21k.shards_manifest.storage.local_files import atomic_path
from in21k.train.errors import TrainError
from in21k.train.use.answer_rows import SCHEMA, prediction_rows

if TYPE_CHECKING:
    from in21k.train.use.guesses import Prediction

_STARTS: Mapping[str, tuple[bytes, str]] = {
    ".csv": (",".join(SCHEMA.names).encode(), "a CSV of predictions"),
    ".parquet": (b"PAR1", "a Parquet file"),
    ".jsonl": (b'{"image": ', "a file of predictions"),
}
"""What each kind of file begins with, by suffix."""

_GROUP = 1 << 16
"""Rows that are held in memory: a row group of a Parquet file."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What spreadsheets take for the beginning of a formula."""

Write: TypeAlias = "Callable[[Prediction], None]"


def check_output(path: Path) -> None:
    """Refuse a file that cannot be written, before predictions are made for it.

    Raises:
        TrainError: its name does not say what kind it is, or its folder is missing.
        DatasetError: it exists, and is something else.
    """
    if path.suffix.lower() not in _STARTS:
        raise TrainError(f"--output {path}: give a name that ends in .csv, .parquet or .jsonl")
    if not path.absolute().parent.is_dir():
        raise TrainError(f"--output {path}: there is no folder {path.parent}; make it, or give another name")
    start, what = _STARTS[path.suffix.lower()]
    require_file_place(path, start, what, option="--output")


def written(predictions: "Iterable[Prediction]", path: Path) -> "Iterator[Prediction]":
    """Yield predictions after writing each to a file, which appears once all are there.

    Args:
        predictions: read once; a few rows of them are held at a time.
        path: its suffix says the kind: `.csv` and `.parquet` have the columns of SCHEMA, `.jsonl` a line per image.

    Raises:
        DatasetError: the file cannot be written.
    """
    opened = {".csv": _csv, ".parquet": _parquet, ".jsonl": _lines}[path.suffix.lower()]
    with atomic_path(path) as temporary, opened(temporary) as write:
        for prediction in predictions:
            write(prediction)
            yield prediction


@contextmanager
def _csv(path: Path) -> Iterator[Write]:
    with path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        writer = csv.DictWriter(file, SCHEMA.names, lineterminator="\n")
        writer.writeheader()
        yield lambda prediction: writer.writerows(map(_plain, prediction_rows(prediction)))


@contextmanager
def _parquet(path: Path) -> Iterator[Write]:
    with pq.ParquetWriter(path, SCHEMA, compression="zstd") as writer:
        rows: list[Mapping[str, Any]] = []

        def flush() -> None:
            columns = {name: [_encodable(row[name]) for row in rows] for name in SCHEMA.names}
            writer.write_table(pa.table(columns, schema=SCHEMA))
            rows.clear()

        def write(prediction: "Prediction") -> None:
            rows.extend(prediction_rows(prediction))
            if len(rows) >= _GROUP:
                flush()

        yield write
        flush()


@contextmanager
def _lines(path: Path) -> Iterator[Write]:
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

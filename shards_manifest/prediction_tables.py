"""What a model says of a dataset's validation images, as two tables: a row per image, and a row per class.

The trainer writes them, and the report lays them on the explorer. They may come from anywhere, so they are checked.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from in21k.shards_manifest.errors import DamagedTableError, DatasetError, escaped
from in21k.shards_manifest.parquet_table import open_row_groups
from in21k.shards_manifest.storage.location import Location

PREDICTIONS = "predictions.parquet"
"""In the folder of an evaluation: a row per image."""
VAL_PREDICTIONS = "val_predictions.parquet"
"""The same in the folder of a run."""
PER_CLASS = "per_class.parquet"
"""Beside either: a row per class."""

DATASET = b"in21k.dataset"
"""The key of both tables' metadata under which the digest of the dataset stands."""
MODEL = b"in21k.model"
"""Likewise the name of the network."""
OF_FILE = b"in21k.predictions"
"""The key of the metadata of the table of classes that names the table of images that it sums up."""

_IMAGE_COLUMNS = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("class_index", pa.int32(), nullable=False),  # the image's class
        pa.field("wnid", pa.string(), nullable=False),
        pa.field("guess", pa.int32(), nullable=False),  # the class index of the best guess
        pa.field("rank", pa.int32(), nullable=False),  # how many classes are more probable than the image's own
        pa.field("probability", pa.float32(), nullable=False),  # of the image's own class
        pa.field("guess_probability", pa.float32(), nullable=False),
        pa.field("answer", pa.int32()),  # the class at which `predict` stops; null if no class is probable enough
        pa.field("answer_probability", pa.float32()),
    ]
)

_CLASS_COLUMNS = pa.schema(
    [
        pa.field("class_index", pa.int32(), nullable=False),
        pa.field("wnid", pa.string(), nullable=False),
        pa.field("name", pa.string(), nullable=False),
        pa.field("level", pa.int32(), nullable=False),
        pa.field("images", pa.int64(), nullable=False),
        pa.field("top1", pa.float64()),
        pa.field("top5", pa.float64()),
        pa.field("probability", pa.float64()),
        pa.field("confused_with", pa.int32()),
        pa.field("confused_with_name", pa.string()),
        pa.field("confused_share", pa.float64()),
        pa.field("answer_accuracy", pa.float64()),
        pa.field("specificity", pa.float64()),
        pa.field("answer_level", pa.float64()),
        pa.field("semantic_top1", pa.float64()),
    ]
)

LABELED_SETS = pa.schema(
    [
        pa.field("class_index", pa.int32(), nullable=False),
        pa.field("wnid", pa.string(), nullable=False),
        pa.field("name", pa.string(), nullable=False),
        pa.field("images", pa.int64(), nullable=False),
        pa.field("average_precision", pa.float64()),
        pa.field("recall", pa.float64()),
        pa.field("precision", pa.float64()),
        pa.field("probability", pa.float64()),
    ]
)
"""The table of classes where images have any number of them."""

_SHARES = ("top1", "top5", "probability", "confused_share", "answer_accuracy", "specificity", "semantic_top1")
"""Columns of the table of classes that are 0 to 1."""


@dataclass(frozen=True, eq=False)
class ExpectedTables:
    """The dataset that the tables must be of."""

    digest: str
    """SHA-256 of its manifest."""
    levels: npt.NDArray[np.int32]
    """int32 [C]: the level of each class."""
    images: int
    """Images in its val split."""


@dataclass(frozen=True, eq=False)
class Predictions:
    """What the report reads of N images, in the order of the val split."""

    keys: pa.ChunkedArray
    """Strings [N]."""
    classes: npt.NDArray[np.int32]
    """int32 [N]: class indices."""
    guesses: npt.NDArray[np.int32]
    """int32 [N]: class indices of the best guesses."""
    probabilities: npt.NDArray[np.float32]
    """float32 [N]: of the image's own class."""
    guess_probabilities: npt.NDArray[np.float32]
    """float32 [N]: of the best guess."""
    model: str
    """The name of the network, empty if the table does not say it."""


def prediction_schema(levels: int, metadata: Mapping[bytes, str]) -> pa.Schema:
    """Return the columns of the table of images whose images have one class each.

    Args:
        levels: L; the columns `guess_0` and `probability_0` to `guess_L-1` and `probability_L-1` come last.
        metadata: of the table.
    """
    by_level = [
        field
        for level in range(levels)
        for field in (pa.field(f"guess_{level}", pa.int32()), pa.field(f"probability_{level}", pa.float32()))
    ]
    return pa.schema([*_IMAGE_COLUMNS, *by_level], metadata=dict(metadata))


def per_class_schema(levels: int, metadata: Mapping[bytes, str]) -> pa.Schema:
    """Return the columns of the table of classes; `semantic_top1_0` to `semantic_top1_L-1` come last."""
    by_level = [pa.field(f"semantic_top1_{level}", pa.float64()) for level in range(levels)]
    return pa.schema([*_CLASS_COLUMNS, *by_level], metadata=dict(metadata))


def read_predictions(location: Location, expected: ExpectedTables) -> Predictions:
    """Return the table of images, once it is clear that it is of the dataset and that every number in it is possible.

    Raises:
        DatasetError: it is missing, of another dataset, or has images of any number of classes.
        DamagedTableError: it is no such table, or has a value that none can have.
    """
    table = _read(location, _IMAGE_COLUMNS, expected, most=expected.images)
    classes, guesses = (_within(table, name, len(expected.levels), location) for name in ("class_index", "guess"))
    own, guessed = (_shares(table, name, location) for name in ("probability", "guess_probability"))
    return Predictions(
        keys=table["key"],
        classes=classes,
        guesses=guesses,
        probabilities=own.astype(np.float32),
        guess_probabilities=guessed.astype(np.float32),
        model=(table.schema.metadata or {}).get(MODEL, b"").decode("utf-8", "replace"),
    )


def read_per_class(location: Location, expected: ExpectedTables) -> pa.Table:
    """Return the table of classes, a row for each class in order, once it is clear that it is of the dataset.

    Raises:
        DatasetError: it is missing, or of another dataset.
        DamagedTableError: it is no such table, or has a value that none can have.
    """
    table = _read(location, _CLASS_COLUMNS, expected, most=len(expected.levels))
    if not np.array_equal(table["class_index"].to_numpy(), np.arange(len(expected.levels))):
        raise DamagedTableError(f"{location.text} does not list the classes 0 to {len(expected.levels) - 1} in order")
    for name in _SHARES:
        _shares(table, name, location)
    _within(table.filter(table["confused_with"].is_valid()), "confused_with", len(expected.levels), location)
    images = table["images"].to_numpy()
    if len(images) and not 0 <= images.min() <= images.max() <= expected.images:
        raise DamagedTableError(f"{location.text} has a count of images outside 0 to {expected.images}")
    return table


def _read(location: Location, schema: pa.Schema, expected: ExpectedTables, *, most: int) -> pa.Table:
    """Return a table with the columns of a schema, of the dataset and with at most this many rows."""
    with open_row_groups(location, schema) as groups:
        if groups.rows > most:
            raise DamagedTableError(
                f"{location.text} has {groups.rows:,} rows, where the dataset has {most:,}; evaluate the model on it"
            )
        table = groups.read(range(len(groups)))
    found = (table.schema.metadata or {}).get(DATASET, b"").decode("ascii", "replace")
    if found != expected.digest:
        other = f"the dataset with the digest {escaped(found)[:12]}" if found else "no dataset that it names"
        raise DatasetError(
            f"{location.text} is of {other}, not of this one ({expected.digest[:12]}); evaluate the model on this one"
        )
    return table


def _within(table: pa.Table, name: str, classes: int, location: Location) -> npt.NDArray[np.int32]:
    """Return a column of class indices; refuse one that is none."""
    values: npt.NDArray[np.int32] = table[name].to_numpy().astype(np.int32)
    if len(values) and not 0 <= values.min() <= values.max() < classes:
        raise DamagedTableError(f"{location.text} has a {name} outside 0 to {classes - 1}")
    return values


def _shares(table: pa.Table, name: str, location: Location) -> npt.NDArray[np.float64]:
    """Return a column of numbers from 0 to 1, without those that are null; refuse others."""
    values: npt.NDArray[np.float64] = table[name].drop_null().to_numpy().astype(np.float64)
    if not ((values >= 0) & (values <= 1)).all():  # NaN is neither
        raise DamagedTableError(f"{location.text} has a {name} outside 0 to 1")
    return values

"""Predictions as rows of a table: an image's answer, its best path, and the most probable classes of levels."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pyarrow as pa

if TYPE_CHECKING:
    from in21k.train.use.guesses import Guess, Prediction

SCHEMA = pa.schema(
    [
        pa.field("image", pa.string(), nullable=False),  # its path, as it was given or found
        pa.field("kind", pa.string(), nullable=False),  # answer, path, level or error
        pa.field("rank", pa.int32(), nullable=False),  # from 1: on the path from the root down, else by probability
        pa.field("level", pa.int32()),  # null where one softmax goes over all classes
        pa.field("wnid", pa.string()),  # null where not even the root is probable enough
        pa.field("name", pa.string()),
        pa.field("probability", pa.float64()),
        pa.field("path", pa.string()),  # the names from the root down to the class
        pa.field("gloss", pa.string()),  # null where the taxonomy has none
        pa.field("error", pa.string()),  # why the image cannot be read
    ]
)
"""The columns; each image has one row of kind answer or error, and those of the other kinds behind it."""

ANSWER, PATH, LEVEL, ERROR = "answer", "path", "level", "error"


def prediction_rows(prediction: "Prediction") -> Iterator[Mapping[str, Any]]:
    """Yield the rows of an image's prediction, with the columns of SCHEMA."""
    image = prediction.image
    if prediction.error:
        yield _row(image, ERROR, 1, None, None) | {"error": prediction.error}
        return
    found = prediction.path
    if found.path:
        at = found.path.index(found.answer) if found.answer else None
        yield _row(image, ANSWER, 1, at, found.answer)
        yield from (_row(image, PATH, level + 1, level, guess) for level, guess in enumerate(found.path))
    else:
        best = prediction.levels[0].guesses[0] if prediction.labels else None
        yield _row(image, ANSWER, 1, prediction.levels[0].level, found.answer or best)
    for each in prediction.beside:
        yield from (_row(image, LEVEL, rank, each.level, guess) for rank, guess in enumerate(each.guesses, 1))


def _row(image: str, kind: str, rank: int, level: int | None, guess: "Guess | None") -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(SCHEMA.names) | {"image": image, "kind": kind, "rank": rank, "level": level}
    if guess is None:
        return row
    named = {"wnid": guess.wnid, "name": guess.name, "path": guess.path, "gloss": guess.gloss}
    return row | named | {"probability": guess.probability}

"""What a detector finds as rows of a table: one per box."""

from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from in21k.train.detection.find_boxes import BoxPrediction
from in21k.train.use.answer_files import Table

SCHEMA = pa.schema(
    [
        pa.field("image", pa.string(), nullable=False),  # its path, as it was given or found
        pa.field("kind", pa.string(), nullable=False),  # box, none or error
        pa.field("rank", pa.int32()),  # from 1, the most certain first; null where there is no box
        pa.field("class_index", pa.int32()),
        pa.field("wnid", pa.string()),  # the class's label
        pa.field("name", pa.string()),
        pa.field("score", pa.float64()),  # 0 to 1
        pa.field("left", pa.float64()),  # this and the next three in pixels of the upright image
        pa.field("top", pa.float64()),
        pa.field("width", pa.float64()),
        pa.field("height", pa.float64()),
        pa.field("error", pa.string()),  # why the image cannot be read
    ]
)
"""The columns; an image without boxes has one row, of kind none or error."""

BOX, NONE, ERROR = "box", "none", "error"

_SIDES = ("left", "top", "width", "height")


def box_rows(prediction: BoxPrediction) -> Iterator[Mapping[str, Any]]:
    """Yield the rows of what is found in an image, with the columns of SCHEMA."""
    bare: dict[str, Any] = dict.fromkeys(SCHEMA.names) | {"image": prediction.image}
    if not prediction.boxes:
        yield bare | ({"kind": ERROR, "error": prediction.error} if prediction.error else {"kind": NONE})
    for rank, found in enumerate(prediction.boxes, 1):
        named = {"class_index": found.class_index, "wnid": found.wnid, "name": found.name, "score": found.score}
        yield bare | named | {"kind": BOX, "rank": rank} | dict(zip(_SIDES, found.box, strict=True))


BOXES = Table(SCHEMA, box_rows)
"""What a detector finds."""

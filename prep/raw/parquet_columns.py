"""Which columns of a Parquet file hold its images, their names and classes, as Hugging Face's datasets have them."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from in21k.prep.errors import PrepError
from in21k.shards_manifest.errors import one_line
from in21k.shards_manifest.parquet_table import require_plausible
from in21k.shards_manifest.storage.location import Location

_IMAGE_NAMES = ("image", "img", "jpg", "jpeg", "webp", "png", "bytes")
_LABEL_NAMES = ("label", "labels", "class_name", "class", "cls", "fine_label", "wnid", "synset", "target")
_BUFFER = 1 << 20
"""Bytes read at a time of each column."""


@dataclass(frozen=True)
class ImageColumns:
    """Where a Parquet file has what belongs to an image; paths of leaves, such as `image.bytes`."""

    image: str
    path: str
    """Empty if images have no names."""
    label: str
    class_names: tuple[str, ...]
    """The classes that numbers in `label` stand for, if the file says so."""

    @property
    def described(self) -> list[str]:
        """The columns that are read to list the images."""
        return [name for name in (self.path, self.label) if name]


@contextmanager
def opened_parquet(location: Location, texts: Sequence[str] = ()) -> Iterator[pq.ParquetFile]:
    """Open a Parquet file within the block, as `open_parquet` does."""
    file = open_parquet(location, texts)
    try:
        yield file
    finally:
        file.close(force=True)


def open_parquet(location: Location, texts: Sequence[str] = ()) -> pq.ParquetFile:
    """Open a Parquet file; the caller closes it, by force.

    Args:
        location: the file.
        texts: columns of which repeated values are to be read once.

    Raises:
        PrepError: it is none, is cut short, or claims more than its length allows.
    """
    source = location.open_input()
    try:
        file = pq.ParquetFile(source, buffer_size=_BUFFER, pre_buffer=False, read_dictionary=list(texts) or None)
        require_plausible(file.metadata, int(source.size()))
    except (pa.ArrowException, OSError, ValueError) as error:
        source.close()
        raise PrepError(
            f"{location.text} is cut short, damaged or no Parquet file ({one_line(error)}); download it again"
        ) from error
    return file


def image_columns(file: pq.ParquetFile, text: str) -> ImageColumns:
    """Return which columns hold the images and their labels.

    Args:
        file: an open Parquet file.
        text: what to call it in messages.

    Raises:
        PrepError: it has no column of images, or none of labels.
    """
    schema = file.schema_arrow
    images = [field for field in schema if _is_image(field)]
    image = _named(images, _IMAGE_NAMES) or (images[0] if len(images) == 1 else None)
    if image is None:
        raise PrepError(f"{text} has no column of images (a struct of bytes and path, or binary)")
    labels = [field for field in schema if pa.types.is_integer(field.type) or _is_text(field.type)]
    label = _named(labels, _LABEL_NAMES)
    nested = pa.types.is_struct(image.type)
    has_path = nested and "path" in [child.name for child in image.type]
    if label is None and not has_path:
        raise PrepError(f"{text} has no column of labels, such as `label`; its columns are {', '.join(schema.names)}")
    return ImageColumns(
        image=f"{image.name}.bytes" if nested else image.name,
        path=f"{image.name}.path" if has_path else "",
        label="" if label is None else label.name,
        class_names=() if label is None else _class_names(schema, label.name),
    )


def _is_image(field: pa.Field) -> bool:
    if pa.types.is_struct(field.type):
        return any(child.name == "bytes" and _is_binary(child.type) for child in field.type)
    return _is_binary(field.type)


def _is_binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _is_text(kind: pa.DataType) -> bool:
    value = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(value) or pa.types.is_large_string(value))


def _named(fields: list[pa.Field], names: Sequence[str]) -> pa.Field | None:
    by_name = {field.name: field for field in fields}
    return next((by_name[name] for name in names if name in by_name), None)


def _class_names(schema: pa.Schema, label: str) -> tuple[str, ...]:
    """Return the names of a label's values out of the description that Hugging Face's library stores."""
    try:
        described: Any = json.loads((schema.metadata or {})[b"huggingface"])
        names = described["info"]["features"][label]["names"]
    except (KeyError, ValueError, TypeError, RecursionError):
        return ()
    return tuple(names) if isinstance(names, list) and all(isinstance(name, str) for name in names) else ()

"""JSON files from anyone: bounded before they are read, and checked for type before they are used."""

import json
from typing import Any

from in21k.shards_manifest.errors import DatasetError
from in21k.shards_manifest.storage.location import Location

LARGEST = 64 << 20
"""Bytes of a JSON file of ours, at most: a manifest takes 250 per shard."""

_DEEPEST = 16


def read_json_bytes(location: Location) -> bytes:
    """Return the content of a JSON file.

    Raises:
        DatasetError: it is missing, cannot be read, or is larger than any of ours.
    """
    ranges = location.open_ranges()
    try:
        if ranges.size > LARGEST:
            raise DatasetError(
                f"{location.text} is {ranges.size:,} bytes long; no such file of in21k is over {LARGEST:,}"
            )
        return ranges.read(0, ranges.size)
    finally:
        ranges.close()


def parse_json(content: bytes) -> dict[str, Any]:
    """Return the JSON object in the content of a file.

    Raises:
        ValueError: it is not JSON, not an object, or too deeply nested.
    """
    try:
        fields = json.loads(content)
        if not isinstance(fields, dict):
            raise ValueError("it is not a JSON object")  # noqa: TRY004  # of content, not of an argument
        _require_shallow(fields, _DEEPEST)
    except RecursionError:
        raise ValueError("its JSON is too deeply nested") from None
    return fields


def is_count(value: object, most: int = (1 << 63) - 1) -> bool:
    """Return whether a value is a whole number from 0 to `most`."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most


def require_mapping(name: str, value: object, of: type | tuple[type, ...] = object) -> None:
    """Refuse what is not a mapping from strings to values of a type; bool is no int.

    Raises:
        ValueError: it is something else; the message has its name.
    """
    if not isinstance(value, dict):
        raise ValueError(f"{name} is {type(value).__name__}, not an object")  # noqa: TRY004
    for key, found in value.items():
        if not isinstance(found, of) or (of is int and not is_count(found)):
            raise ValueError(f"{name}.{key} is {found!r:.60}")


def _require_shallow(value: object, levels: int) -> None:
    if levels == 0:
        raise ValueError("its JSON is too deeply nested")
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            _require_shallow(inner, levels - 1)

"""The record that each stage writes to the work folder in the end, by which runs resume and mistakes are noticed."""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from in21k.prep.errors import PrepError
from in21k.prep.stages.select import ImageSelection
from in21k.shards_manifest.errors import errors_naming, one_line
from in21k.shards_manifest.json_file import is_count, parse_json, read_json_bytes, require_mapping
from in21k.shards_manifest.manifest import ImageSpec
from in21k.shards_manifest.storage.local_files import require_regular
from in21k.shards_manifest.storage.location import Location

IMAGES = "images.parquet"
CLASSES = "classes.parquet"
TAXONOMY = "taxonomy.parquet"
"""The edges and names of a work folder whose labels come from a file of edges."""
SPLIT = "split.parquet"
PARTS = "parts"

_REQUIRED: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "filter": {
        "counts": ("classes", "images", "classes_kept", "images_kept"),
        "outputs": (IMAGES, CLASSES),
        "notes": ("raw",),
    },
    "split": {"parameters": ("val_per_class",), "outputs": (SPLIT,)},
    "resize": {"counts": ("train", "val", "damaged_kept", "classes_short_of_val"), "parameters": ("size",)},
}
"""What later stages look up in the records of earlier ones."""
RESIZE_RECORD = "resize.json"


@dataclass(frozen=True)
class StageRecord:
    """What a finished stage did."""

    stage: str
    parameters: Mapping[str, Any]
    """The user's choices, which determine the output."""
    inputs: Mapping[str, Any]
    """What the stage read: digests of tables, the identity of the dump."""
    counts: Mapping[str, int]
    outputs: Mapping[str, str] = field(default_factory=dict)
    """SHA-256 of the tables that it wrote, by file name."""
    notes: Mapping[str, str] = field(default_factory=dict)
    """What may change between runs without harm, such as the path of the dump."""


_STAGES = ("filter", "split", "resize")
"""Those that write a record, in their order."""


@contextmanager
def locked(folder: Location) -> Iterator[None]:
    """Lock a folder against other processes that would write to it; the lock ends with the process.

    Object stores have no locks: the user must see to it that no two commands write to the same place.

    Raises:
        PrepError: another process holds the lock.
    """
    folder.make_folder()
    if not folder.is_local:
        yield
        return
    path = folder / ".lock"
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK  # no waiting for a FIFO's other end
    with errors_naming(path.text):
        descriptor = os.open(path.path, flags, 0o666)
    with os.fdopen(descriptor, "wb", buffering=0) as lock:
        require_regular(os.fstat(descriptor).st_mode, path.text)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PrepError(
                f"{folder.text}: another in21k-prep is at work there; wait for it or name another folder"
            ) from None
        yield


def finished(
    work: Location, stage: str, parameters: Mapping[str, Any], inputs: Mapping[str, Any]
) -> StageRecord | None:
    """Return the record of a stage that was done with the same parameters and inputs, None if it is to be done.

    As long as no image is resized, other parameters take back what filter and split did, which takes minutes.

    Raises:
        PrepError: it was done with different ones, or its output is gone.
    """
    record = read_record(work, stage)
    if record is not None and _differences(record.parameters, parameters) and not has_parts(work):
        for name in reversed(_STAGES[_STAGES.index(stage) :]):  # the later ones first: each rests on those before
            (work / f"{name}.json").delete_file()
        record = None
    if record is None:
        work.remove_temporaries()
        return None
    require_same(f"{work.text}: {stage} was done", record.parameters, parameters)
    require_same(f"{work.text}: {stage} was done", record.inputs, inputs)
    missing = [name for name in record.outputs if not (work / name).exists()]
    if missing:
        raise PrepError(f"{(work / missing[0]).text}: {stage} wrote it, but it is gone; use another work folder")
    return record


def has_parts(work: Location) -> bool:
    """Return whether resize has written any part, or even all of them."""
    return (work / "resize.json").exists() or any(name.startswith("part-") for name in (work / PARTS).names())


def required(work: Location, stage: str) -> StageRecord:
    """Return the record of a stage that must have been done before.

    Raises:
        PrepError: it has not been done.
    """
    record = read_record(work, stage)
    if record is None:
        raise PrepError(f"{work.text}: no finished {stage} there; run `in21k-prep {stage}` on it first")
    return record


def read_record(work: Location, stage: str) -> StageRecord | None:
    """Return a stage's record, None if there is none.

    Raises:
        PrepError: the record is damaged.
    """
    path = work / f"{stage}.json"
    if not path.exists():
        return None
    try:
        fields = parse_json(read_json_bytes(path))
        record = StageRecord(**fields)
        if record.stage != stage:
            raise ValueError(f"it is of {record.stage!r:.60}")
        for name, of in (("parameters", object), ("inputs", object), ("counts", int), ("outputs", str), ("notes", str)):
            require_mapping(name, getattr(record, name), of)
        for name, keys in _REQUIRED.get(stage, {}).items():
            if lost := [key for key in keys if key not in getattr(record, name)]:
                raise ValueError(f"{name} lacks {lost[0]}")
        if not is_count(record.parameters.get("val_per_class", 0)):
            raise ValueError(f"val_per_class is {record.parameters['val_per_class']!r:.60}")
        ImageSpec.of(record.parameters if stage == "resize" else {})
        ImageSelection.of(record.parameters if stage == "filter" else {})
    except (ValueError, TypeError) as error:
        raise PrepError(f"{path.text} is not a stage record ({one_line(error)}); use another work folder") from error
    return record


def write_record(work: Location, record: StageRecord) -> StageRecord:
    """Write a stage's record, the last thing that the stage does, and return it."""
    (work / f"{record.stage}.json").write_bytes(json.dumps(asdict(record), indent=1).encode() + b"\n")
    return record


def is_mixed(filtered: StageRecord) -> bool:
    """Return whether the images of a class lie anywhere in the dump, by the record of filter."""
    return filtered.inputs.get("mixed") is True


def has_given_split(filtered: StageRecord) -> bool:
    """Return whether the dump, or a list of the user, says what is val, by the record of filter."""
    is_release = filtered.inputs.get("layout") == "processed-release" and not filtered.parameters.get("resplit")
    return bool(filtered.counts.get("images_given_split")) or "val_list" in filtered.parameters or is_release


def digests(work: Location, *names: str) -> dict[str, str]:
    """Return the SHA-256 of files in the work folder, by name."""
    return {name: (work / name).sha256() for name in names}


def require_same(what: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Refuse parameters that differ from those of an earlier run.

    Raises:
        PrepError: there is a difference; the message names the first.
    """
    for name in _differences(before, now):
        old, new = (str(each) if isinstance(each, str) else each for each in (before.get(name), now.get(name)))  # enums
        raise PrepError(f"{what} with {name} {old!r}, not {new!r}; give the same, or use another folder")


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    return [name for name in dict.fromkeys([*before, *now]) if before.get(name) != now.get(name)]

"""Checks of one shard in one pass over its bytes: its digest, its members against the sample table, its images."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from in21k.shards_manifest.errors import DatasetError
from in21k.shards_manifest.manifest import ImageSpec, Shard
from in21k.shards_manifest.sample_table import LABEL_SUFFIX
from in21k.shards_manifest.sidecars import dali_index, dali_path
from in21k.shards_manifest.storage.location import Location
from in21k.shards_manifest.storage.ranges import HashedStream
from in21k.shards_manifest.tar import BLOCK, END, TarError, TarMember, read_members
from in21k.shards_manifest.verify.findings import Finding, merged
from in21k.shards_manifest.verify.images import IMAGE_CHECKS, ImageSubject

_LOCAL_CHUNK = 256 << 10
_REMOTE_CHUNK = 8 << 20


@dataclass(frozen=True)
class VerifyTask:
    """A shard to check."""

    dataset: Location
    shard: Shard
    rows: pa.Table | None
    """Its rows of the sample table; None if that is missing or unsound."""
    images: ImageSpec
    """What its images must be like."""
    is_deep: bool
    """Whether to check its members, beyond its digest."""
    is_whole: bool = True
    """Whether it exists in its full length; otherwise only its DALI index is checked."""

    @property
    def name(self) -> str:
        """What to call it in an error."""
        return self.shard.path


@dataclass(frozen=True)
class SampleSubject:
    """A sample under verification: what the shard holds, and its row of the sample table."""

    number: int
    image: TarMember
    key: str
    label: bytes
    row: dict[str, Any] | None
    """None if the sample table is missing or unsound; empty if it has no such row."""


def check_shard(task: VerifyTask) -> list[Finding]:
    """Return what is wrong with one shard and its DALI index."""
    found: list[Finding] = []
    for path, check in ((task.shard.path, _check_content), (dali_path(task.shard.path), _check_index)):
        try:
            found += check(task)
        except DatasetError as error:
            found.append(Finding("E107", path, str(error)))
    return merged(found)


def _check_content(task: VerifyTask) -> list[Finding]:
    """Return what is wrong with a shard's digest and, if `is_deep`, with its members."""
    if not task.is_whole:
        return []
    path = task.shard.path
    found: list[Finding] = []
    reader = (task.dataset / path).open_ranges()
    try:
        stream = HashedStream(reader, _LOCAL_CHUNK if task.dataset.is_local else _REMOTE_CHUNK)
        if task.is_deep:
            found += [Finding(code, path, message) for code, message in _check_members(stream, task)]
        digest = stream.finish()
    finally:
        reader.close()
    if digest != task.shard.sha256:
        found.append(Finding("E101", path, f"{digest[:16]}…, the manifest says {task.shard.sha256[:16]}…"))
    return found


def _check_members(stream: HashedStream, task: VerifyTask) -> Iterator[tuple[str, str]]:
    """Yield (code, message) for the members of a shard, as far as its structure can be followed."""
    rows = task.rows.to_pylist() if task.rows is not None else None
    suffix = task.images.suffix
    members = read_members(stream.read, 0, task.shard.bytes)
    number = end = 0
    try:
        for image in members:
            data = stream.read(image.offset, image.size)
            label = next(members, None)
            key = image.name.removesuffix(suffix)
            if label is None or [image.name, label.name] != [key + suffix, key + LABEL_SUFFIX]:
                names = image.name if label is None else f"{image.name}, {label.name}"
                yield "E202", f"at byte {image.offset - BLOCK} are {names}, not an image and its label"
                return
            row = None if rows is None else rows[number] if number < len(rows) else {}
            sample = SampleSubject(
                number=number, image=image, key=key, label=stream.read(label.offset, label.size), row=row
            )
            for code, check in SAMPLE_CHECKS:
                if (message := check(sample)) is not None:
                    yield code, f"{key}: {message}"
            subject = ImageSubject(data, task.images)
            for code, look in IMAGE_CHECKS:
                if (message := look(subject)) is not None:
                    yield code, f"{key}: {message}"
            number, end = number + 1, label.end
    except TarError as error:
        yield "E201", str(error)
        return
    if stream.read(end, len(END) + 1) != END:
        yield "E201", f"there is something other than the end-of-archive marker after byte {end}"
    if number != task.shard.samples:
        yield "E203", f"{number} samples, the manifest says {task.shard.samples}"


def _other_place(sample: SampleSubject) -> str | None:
    """Return how a sample differs from its row of the sample table."""
    if sample.row is None:
        return None
    found = {"key": sample.key, "offset": sample.image.offset - BLOCK, "image_bytes": sample.image.size}
    for name, value in found.items():
        if sample.row.get(name, value) != value or "key" not in sample.row:
            return f"{name} {value}, samples.parquet has {sample.row.get(name, 'no such row')}"
    return None


def _other_label(sample: SampleSubject) -> str | None:
    """Return how a label differs from the sample table's."""
    if sample.row is None or "class_index" not in sample.row:
        return None if sample.label.isdigit() else f"the label {sample.label[:20]!r} is not a class index"
    expected = b"%d" % sample.row["class_index"]
    return None if sample.label == expected else f"label {sample.label[:20]!r}, samples.parquet has {expected!r}"


SAMPLE_CHECKS: tuple[tuple[str, Callable[[SampleSubject], str | None]], ...] = (
    ("E203", _other_place),
    ("E301", _other_label),
)
"""The checks of every sample, by code."""


def _check_index(task: VerifyTask) -> list[Finding]:
    """Return what is wrong with the DALI index beside a shard."""
    if task.rows is None or "image_bytes" not in task.rows.column_names:
        return []
    path = dali_path(task.shard.path)
    location = task.dataset / path
    if location.size() is None:
        return [Finding("E601", path, "`in21k-prep sidecars` writes it")]
    if location.read_bytes() != dali_index(task.rows, task.images.suffix):
        return [Finding("E602", path, "`in21k-prep sidecars` rewrites it")]
    return []

"""A folder of embeddings: who may write there, the settings of its beginning, and the record of its end."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import PIL

from in21k.shards_manifest.errors import one_line
from in21k.shards_manifest.json_file import parse_json, read_json_bytes
from in21k.shards_manifest.markers import EMBEDDINGS, EMBEDDINGS_BEGUN, FolderKind, require_place_for
from in21k.shards_manifest.storage.local_files import write_atomic
from in21k.shards_manifest.storage.location import locate
from in21k.train.config.overrides import flatten
from in21k.train.config.records import Record
from in21k.train.embed.rows import FileFacts, read_facts
from in21k.train.embed.source import EmbeddingSource
from in21k.train.errors import TrainError

FORMAT_VERSION = 1
THREADS = "threads"
"""The setting that a resumed command takes from the record."""

_MOST_THREADS = 4096
_PATTERN = "embeddings-*.parquet"


def file_name(number: int) -> str:
    """Return the name of an embedding file, by its number over all splits."""
    return f"embeddings-{number:05d}.parquet"


def versions() -> dict[str, str]:
    """Return the versions of what the vectors' bytes come from."""
    packages = ("in21k", "torch", "timm", "pyarrow", "simplejpeg")
    return {**{name: version(name) for name in packages}, "PIL": PIL.__version__}


@dataclass(frozen=True)
class Planned:
    """An embedding file to be: a share of a split's images."""

    number: int
    piece: int
    """Which split, counted from 0."""
    within: int
    """Number of the file among those of the split."""
    rows: int


def planned_files(source: EmbeddingSource, rows: int) -> list[Planned]:
    """Return the embedding files of a source: `rows` images to a file, split by split."""
    files: list[Planned] = []
    for at, piece in enumerate(source.pieces):
        for within, first in enumerate(range(0, piece.images, rows)):
            files.append(Planned(len(files), at, within, min(rows, piece.images - first)))
    return files


def begun_settings(folder: Path, *, resume: bool) -> dict[str, Any] | None:
    """Return the settings under which a folder was begun; None if nothing was. Nothing is written.

    Raises:
        DatasetError: the folder holds something else.
        TrainError: it holds embeddings and `resume` is off, or their settings cannot be read.
    """
    require_place_for(locate(folder), FolderKind.EMBEDDINGS, option="--output")
    path = folder / EMBEDDINGS_BEGUN
    if not path.exists():
        if found := sorted([*folder.glob(_PATTERN), *folder.glob(EMBEDDINGS)]):
            raise TrainError(f"{folder} holds {found[0].name} without {EMBEDDINGS_BEGUN}; give another --output")
        return None
    if not resume:
        raise TrainError(f"{folder} already holds embeddings; pass --resume to continue them, or give another --output")
    try:
        begun = parse_json(read_json_bytes(locate(path)))
        Record(begun).whole(THREADS, high=_MOST_THREADS)
    except ValueError as error:
        raise TrainError(f"{path} is damaged ({one_line(error)}); give another --output") from error
    return begun


def require_same(folder: Path, begun: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    """Refuse to continue embeddings under other settings than those of their beginning; `THREADS` is left to them.

    Raises:
        TrainError: they differ; the message says in what.
    """
    old, new = (flatten({key: value for key, value in each.items() if key != THREADS}) for each in (begun, settings))
    changed = [
        f"{key} {_shown(old.get(key))}, now {_shown(new.get(key))}"
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
    ]
    if changed:
        raise TrainError(
            f"{folder} was begun with other settings: {'; '.join(changed)}; give those, or another --output"
        )


def write_begun(folder: Path, settings: Mapping[str, Any]) -> None:
    """Write the settings under which a folder's embeddings begin."""
    write_atomic(folder / EMBEDDINGS_BEGUN, _json(settings))


def settings_digest(settings: Mapping[str, Any]) -> str:
    """Return the SHA-256 of settings, which every embedding file carries."""
    return hashlib.sha256(_json(settings)).hexdigest()


def finished(folder: Path, files: list[Planned], digest: str) -> dict[int, FileFacts]:
    """Return the embedding files that are there, by number.

    Raises:
        TrainError: one is damaged, or was not written under these settings.
    """
    found: dict[int, FileFacts] = {}
    for planned in files:
        path = folder / file_name(planned.number)
        if not path.exists():
            continue
        facts = read_facts(path)
        if facts.settings != digest or facts.rows != planned.rows:
            raise TrainError(f"{path} was not written under these settings; delete it, and start again with --resume")
        found[planned.number] = facts
    return found


def write_record(
    folder: Path,
    settings: Mapping[str, Any],
    source: EmbeddingSource,
    files: list[Planned],
    facts: Mapping[int, FileFacts],
) -> dict[str, Any]:
    """Write the record of embeddings that are complete, and return it."""
    record = {
        **settings,
        "dimensions": facts[0].dimensions,
        "images": sum(each.rows for each in facts.values()),
        "faults": sum(each.faults for each in facts.values()),
        "files": [
            {
                "path": file_name(planned.number),
                "split": source.pieces[planned.piece].split,
                "images": planned.rows,
                "faults": facts[planned.number].faults,
            }
            for planned in files
        ],
    }
    write_atomic(folder / EMBEDDINGS, _json(record))
    return record


def _json(values: Mapping[str, Any]) -> bytes:
    return json.dumps(values, indent=1).encode() + b"\n"


def _shown(value: Any) -> str:
    return one_line(f"{value:.12}" if isinstance(value, str) and len(value) == 64 else str(value))

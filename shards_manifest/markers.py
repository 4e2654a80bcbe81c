"""What a folder holds, by the marker that its writer left there; commands ask before they write a folder or a file."""

import json
from enum import StrEnum
from pathlib import Path
from typing import Any

from in21k.shards_manifest.errors import DatasetError, errors_naming
from in21k.shards_manifest.manifest import MANIFEST
from in21k.shards_manifest.storage.local_files import require_regular
from in21k.shards_manifest.storage.location import Location

UNFINISHED = ".unfinished"
"""The folder within a dataset that holds the progress of its writer; deleted when the dataset is complete."""
CONFIG = "config.json"
"""The record of a run, which has a configuration, or of an exported model, which has an architecture."""
EMBEDDINGS_BEGUN = "embed.json"
"""The settings under which embeddings were begun."""
BENCHMARK = "benchmark.json"
"""The record of a benchmark."""
EMBEDDINGS = "embeddings.json"
"""The record of embeddings that are complete."""
RETRIEVAL_BEGUN = "retrieve.json"
"""What a retrieval was asked for."""
RETRIEVAL = "retrieval.json"
"""The scores of a retrieval that is complete."""
REPORT_PAGE = "report.html"
DUPLICATES_PAGE = "duplicates.html"
"""The page of a search for duplicates, which may stand in the report's folder."""

PNG_START = b"\x89PNG\r\n\x1a\n"
PARQUET_START = b"PAR1"

_LARGEST_CONFIG = 64 << 20


class FolderKind(StrEnum):
    """What a command of ours writes into a folder, as messages call it."""

    DATASET = "a prepared dataset"
    WORK = "a work folder of in21k-prep"
    RUN = "a training run"
    MODEL = "an exported model"
    REPORT = "a report"
    EMBEDDINGS = "embeddings"
    BENCHMARK = "a benchmark"
    RETRIEVAL = "a retrieval"


_MARKERS = {
    MANIFEST: FolderKind.DATASET,
    UNFINISHED: FolderKind.DATASET,
    "filter.json": FolderKind.WORK,
    "split.json": FolderKind.WORK,
    "resize.json": FolderKind.WORK,
    "metrics.csv": FolderKind.RUN,
    "checkpoints": FolderKind.RUN,
    EMBEDDINGS_BEGUN: FolderKind.EMBEDDINGS,
    EMBEDDINGS: FolderKind.EMBEDDINGS,
    BENCHMARK: FolderKind.BENCHMARK,
    RETRIEVAL_BEGUN: FolderKind.RETRIEVAL,
    RETRIEVAL: FolderKind.RETRIEVAL,
    REPORT_PAGE: FolderKind.REPORT,
    DUPLICATES_PAGE: FolderKind.REPORT,
}
"""Files and folders by name, apart from `CONFIG`, whose content decides."""


def markers(folder: Location) -> dict[str, FolderKind]:
    """Return the markers in a folder, by name; none if there is no such folder.

    Raises:
        DatasetError: the folder cannot be listed.
    """
    names = folder.names()
    found = {name: kind for name, kind in _MARKERS.items() if name in names}
    if CONFIG in names and (kind := _kind_of_config(folder / CONFIG)) is not None:
        found[CONFIG] = kind
    return found


def require_place_for(folder: Location, *own: FolderKind, option: str) -> None:
    """Refuse a folder that holds what another command wrote, before anything is written to it.

    Args:
        folder: the folder to write to, which may be missing.
        own: what it may hold.
        option: how the command line names it, such as `--output`.

    Raises:
        DatasetError: it holds something else's marker, which the message names.
    """
    found = markers(folder)
    harmless = {FolderKind.REPORT} if set(own) & set(found.values()) else set()  # it may have been written there since
    for name, kind in found.items():
        if kind not in (*own, *harmless):
            raise DatasetError(f"{folder.text} holds {name} of {kind}; give another {option}")


def require_file_place(path: Path, start: bytes, what: str, *, option: str) -> None:
    """Refuse to replace a file that does not begin as ours do.

    Args:
        path: the file to write, which may be missing.
        start: the first bytes of the files that may be replaced.
        what: what these are, such as `a PNG`.
        option: how the command line names the file, such as `--output`.

    Raises:
        DatasetError: the file is something else, or cannot be read.
    """
    with errors_naming(str(path)):
        if not path.exists():
            return
        require_regular(path.stat().st_mode, str(path))
        with path.open("rb") as file:
            if file.read(len(start)) != start:
                raise DatasetError(f"{path} exists and is not {what}; give another {option}")


def _kind_of_config(location: Location) -> FolderKind | None:
    """Return whose a config.json is, None if it is neither a run's nor a model's."""
    size = location.size()
    if size is None or size > _LARGEST_CONFIG:
        return None
    try:
        fields: Any = json.loads(location.read_bytes())
    except (ValueError, RecursionError):
        return None
    if not isinstance(fields, dict):
        return None
    if "config" in fields and "dataset" in fields:
        return FolderKind.RUN
    return FolderKind.MODEL if "pretrained_cfg" in fields else None

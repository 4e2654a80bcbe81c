"""Image folders that are still in the archives in which they are downloaded: plain tars are read in place.

Gzipped ones are not. A loader reads images in random order, and in a gzip each of them costs some five times as much as
decoding it (docs/decisions.md).
"""

import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from in21k.shards_manifest.errors import one_line
from in21k.train.data.open_datasets.labeled import LabeledImages
from in21k.train.data.open_datasets.tar_images import listed_in_tars
from in21k.train.errors import TrainError

_ARCHIVES = (".tar", ".tar.gz", ".tgz")
_GZIP = b"\x1f\x8b"


def in_tars(folder: Path, parts: Mapping[str, LabeledImages]) -> dict[str, LabeledImages]:
    """Return the images of lists; those of a list of which a folder is still in a tar, with their places in it.

    The tar of `train/` is train.tar beside it, and has the names of its images with that folder.

    Args:
        folder: where the lists' paths begin.
        parts: by the file that lists them.

    Raises:
        TrainError: a tar is damaged, or gzipped: then its images cannot be read in any order.
    """
    tars: dict[str, list[str]] = {}
    for source, part in parts.items():
        below = sorted({name.partition("/")[0] for name in part.names})
        found = [path for name in below if not (folder / name).is_dir() and (path := _archive(folder, name))]
        if found:
            tars[source] = [str(path) for path in found]
    placed = dict(parts)
    for paths in {tuple(paths) for paths in tars.values()}:
        sources = [source for source in tars if tuple(tars[source]) == paths]
        places = listed_in_tars([name for source in sources for name in parts[source].names], paths)
        end = 0
        for source in sources:
            start, end = end, end + len(parts[source].names)
            placed[source] = replace(parts[source], tars=places.rows(np.arange(start, end)))
    return placed


def is_there(folder: Path, name: str) -> bool:
    """Return whether an image folder is there, unpacked or in its archive."""
    return (folder / name).is_dir() or any((folder / f"{name}{end}").is_file() for end in _ARCHIVES)


def _archive(folder: Path, name: str) -> Path | None:
    """Return the tar of an image folder, None if there is none."""
    path = next((path for end in _ARCHIVES if (path := folder / f"{name}{end}").is_file()), None)
    if path is None or not _is_gzipped(path):
        return path
    unpack = f"tar -xf {shlex.quote(str(path))} -C {shlex.quote(str(folder))}"
    in_place = (
        "" if path.suffix == ".tar" else f"gunzip {shlex.quote(str(path))} (they are then read from the tar), or "
    )
    raise TrainError(f"{path} is gzipped, and its images cannot be read in any order; run {in_place}{unpack}")


def _is_gzipped(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(_GZIP)) == _GZIP
    except OSError as error:
        raise TrainError(f"{path} cannot be read: {one_line(error)}") from error

"""Image folders that are still in the archives in which they are downloaded: plain tars are read in place.

Gzipped ones are not. A loader reads images in random order, and in a gzip each of them costs some five times as much as
decoding it (docs/decisions.md).
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from in21k.train.data.open_datasets.archives import archive_of, tar_of
from in21k.train.data.open_datasets.labeled import LabeledImages
from in21k.train.data.open_datasets.tar_images import listed_in_tars
from in21k.train.errors import TrainError


def in_tars(folder: Path, parts: Mapping[str, LabeledImages]) -> dict[str, LabeledImages]:
    """Return the images of lists; those of a list of which a folder is still in a tar, with their places in it.

    The tar of `train/` is train.tar beside it, and has the names of its images with that folder.

    Args:
        folder: where the lists' paths begin.
        parts: by the file that lists them.

    Raises:
        TrainError: a tar is damaged, or gzipped (then its images cannot be read in any order), or only some of a list's
            folders are in tars.
    """
    tars: dict[str, list[str]] = {}
    for source, part in parts.items():
        below = sorted({name.partition("/")[0] for name in part.names})
        if found := [str(path) for name in below if (path := tar_of(folder, name))]:
            tars[source] = found
        if 0 < len(found) < len(below):
            raise TrainError(f"{found[0]} holds one of the folders of {source}, and others are not in tars; unpack it")
    placed = dict(parts)
    for paths in sorted({tuple(paths) for paths in tars.values()}):
        sources = [source for source in tars if tuple(tars[source]) == paths]
        places = listed_in_tars([name for source in sources for name in parts[source].names], paths)
        end = 0
        for source in sources:
            start, end = end, end + len(parts[source].names)
            placed[source] = replace(parts[source], tars=places.rows(np.arange(start, end)))
    return placed


def is_there(folder: Path, name: str) -> bool:
    """Return whether an image folder is there, unpacked or in its archive."""
    return (folder / name).is_dir() or archive_of(folder, name) is not None

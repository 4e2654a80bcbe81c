"""Where a preparation may write: RAW, WORK and OUT are apart, and hold nothing that something else wrote."""

import os
from pathlib import PurePosixPath

from in21k.prep.errors import PrepError
from in21k.prep.raw.gzip_ranges import GZIP_INDEX
from in21k.prep.stages.record import CLASSES, IMAGES, PARTS, SPLIT, TAXONOMY
from in21k.shards_manifest.manifest import MANIFEST
from in21k.shards_manifest.markers import UNFINISHED, FolderKind, markers, require_place_for
from in21k.shards_manifest.storage.location import Location

_WRITTEN_BEFORE_A_RECORD = (IMAGES, CLASSES, TAXONOMY, SPLIT, PARTS)


def require_work_place(raw: Location, work: Location) -> None:
    """Refuse a work folder that is the dump, lies within it, or holds what `filter` did not begin.

    Raises:
        DatasetError: it does; nothing has been written.
    """
    if _is_within(work, raw):
        raise PrepError(f"WORK {work.text} lies in RAW {raw.text}, which is only read; name another folder as WORK")
    require_place_for(work, FolderKind.WORK, option="WORK")
    names = work.names() if work.is_local else []  # in an object store, a killed filter leaves no lock
    if not ({".lock", GZIP_INDEX} & set(names) or markers(work)):
        for name in _WRITTEN_BEFORE_A_RECORD:
            if name in names:
                raise PrepError(f"WORK {work.text} holds {name}, which in21k-prep did not write; name another folder")


def require_output_place(raw: Location | None, work: Location, output: Location) -> None:
    """Refuse a folder for the dataset that meets the dump or the work folder, or holds anything but a dataset of ours.

    Raises:
        DatasetError: it does; nothing has been written.
    """
    if raw is not None and _is_within(output, raw):
        raise PrepError(f"OUT {output.text} lies in RAW {raw.text}, which is only read; name another folder as OUT")
    if _is_within(work, output) or _is_within(output, work / PARTS):
        raise PrepError(f"OUT {output.text} and WORK {work.text} are not apart; name another folder as OUT")
    if output.exists():
        raise PrepError(f"{output.text} is a file; name a folder for the dataset")
    require_place_for(output, FolderKind.DATASET, option="OUT")
    found = output.names()
    if found and not {MANIFEST, UNFINISHED} & set(found):
        raise PrepError(f"{output.text} holds {found[0]} and no dataset; name an empty folder or a new one")


def _is_within(inner: Location, outer: Location) -> bool:
    """Return whether a path is another one or lies below it, links followed."""
    return inner.filesystem.equals(outer.filesystem) and _resolved(inner).is_relative_to(_resolved(outer))


def _resolved(location: Location) -> PurePosixPath:
    return PurePosixPath(os.path.realpath(location.path) if location.is_local else location.path)

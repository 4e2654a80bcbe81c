"""A work folder to rehearse in: what `filter` and `split` write there is gone in the end, and WORK is as it was."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from in21k.prep.raw.gzip_ranges import ARCHIVE_INDICES
from in21k.prep.stages.places import require_work_place
from in21k.prep.stages.record import PARTS
from in21k.shards_manifest.storage.local_files import TEMPORARY_PREFIX, names_in
from in21k.shards_manifest.storage.location import Location, locate


@contextmanager
def rehearsal(raw: Location, work: Location) -> Iterator[Location]:
    """Yield a folder in place of a work folder, outside of it and with the same name in messages.

    It begins with links to the files of a work folder on this machine, so that what was done there is not done again.
    Files are replaced and never written into, so what they link to stays. The folder lies where `TMPDIR` says, and is
    deleted when the block ends.

    Args:
        raw: the dump.
        work: the work folder, which need not exist.

    Raises:
        DatasetError: the work folder cannot be one.
    """
    require_work_place(raw, work)
    place = Path(tempfile.mkdtemp(prefix="in21k-"))
    try:
        if work.is_local:
            _link_files(Path(work.path), place)
        (place / ".lock").touch()  # by which `filter` knows a folder that it began
        yield Location(locate(place).filesystem, str(place), work.text)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _link_files(work: Path, place: Path) -> None:
    """Link the files of a work folder: its tables and records, its parts, and the indices of gzipped tars."""
    for folder in ("", PARTS, ARCHIVE_INDICES):
        for name in names_in(work / folder):
            if (work / folder / name).is_file() and not name.startswith((".lock", TEMPORARY_PREFIX)):
                (place / folder).mkdir(exist_ok=True)
                (place / folder / name).symlink_to(work / folder / name)

"""The archives in which image folders are downloaded: where they are, and the commands that unpack them."""

import shlex
from pathlib import Path

from in21k.shards_manifest.errors import one_line
from in21k.train.errors import TrainError

_TARS = (".tar", ".tar.gz", ".tgz")
_GZIP = b"\x1f\x8b"


def archive_of(folder: Path, name: str) -> Path | None:
    """Return the archive of an image folder, which lies beside it and is named as it is; None if there is none."""
    return next((path for end in (*_TARS, ".zip") if (path := folder / f"{name}{end}").is_file()), None)


def tar_of(folder: Path, name: str) -> Path | None:
    """Return the tar of an image folder that is not unpacked, None if there is none.

    Raises:
        TrainError: it is gzipped, whatever its name says, or is a zip.
    """
    path = None if (folder / name).is_dir() else archive_of(folder, name)
    if path is None:
        return None
    if path.suffix == ".zip":
        raise still_packed(path)
    if not _is_gzipped(path):
        return path
    in_place = (
        f"gunzip {shlex.quote(str(path))} (they are then read from the tar), or " if path.suffix != ".tar" else ""
    )
    raise TrainError(f"{path} is gzipped, and its images cannot be read in any order; run {in_place}{_unpack(path)}")


def still_packed(archive: Path) -> TrainError:
    """Return the error that says how to unpack an archive."""
    return TrainError(f"{archive} is still packed; run {_unpack(archive)}")


def _unpack(archive: Path) -> str:
    """Return the command that unpacks an archive to where it lies."""
    path, folder = shlex.quote(str(archive)), shlex.quote(str(archive.parent))
    return f"unzip -q {path} -d {folder}" if archive.suffix == ".zip" else f"tar -xf {path} -C {folder}"


def _is_gzipped(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(_GZIP)) == _GZIP
    except OSError as error:
        raise TrainError(f"{path} cannot be read: {one_line(error)}") from error

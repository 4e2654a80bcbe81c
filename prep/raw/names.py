"""Names in raw dumps: which belong to images, which are unsafe, how they are printed."""

import os
import re
from functools import lru_cache

from in21k.prep.records import Reason, Reject

ACCEPTED_SUFFIXES = frozenset((".jpeg", ".jpg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"))
"""Suffixes of image files, in lower case; the content decides about the format later."""

GIVEN_SPLITS = {"imagenet21k_train": "train", "imagenet21k_val": "val", "imagenet21k_small_classes": ""}
"""The folders of the official processed release, and the split to which each assigns its images."""

GZIPPED_TARS = (".tar.gz", ".tgz")
"""Suffixes of gzipped class tars in a folder, in lower case."""

TARS = (".tar", *GZIPPED_TARS)
"""Suffixes of class tars, gzipped or not, in lower case."""

MACOS_FOLDER = "__MACOSX"
"""Where a zip made on a Mac keeps metadata, in folders named like those that they belong to; never a class."""

_WNID = re.compile(r"n[0-9]{8}")
_UNDECODABLE = "\0"
"""Begins the stored form of a path that is no valid Unicode; no path contains it."""


def is_wnid(name: str) -> bool:
    """Return whether a name has the form of a noun's wnid."""
    return _WNID.fullmatch(name) is not None


def name_reject(wnid: str, name: str, size: int, is_file: bool, kind: str) -> Reject | None:
    """Return the reject for a file that is not an image by its name or type, None if it may be one.

    Args:
        wnid: the class.
        name: the file's name as stored, with its folders.
        size: its length in bytes.
        is_file: whether it is a regular file.
        kind: what it is if it is not a regular file.
    """
    base = name[name.rfind("/") + 1 :]  # plain strings are fast, and there are millions of members
    dot = base.rfind(".")
    if name[:1] == "/" or (".." in name and ".." in name.split("/")):
        reason, detail = Reason.UNSAFE_NAME, "the name leads out of the folder"
    elif base[:2] == "._":
        reason, detail = Reason.MACOS_METADATA, f"{size} bytes"
    elif not is_file:
        reason, detail = Reason.NOT_A_FILE, kind
    elif dot < 1 or base[dot:].lower() not in ACCEPTED_SUFFIXES:
        reason, detail = Reason.NOT_AN_IMAGE_NAME, f"{size} bytes"
    else:
        return None
    return Reject(wnid=wnid, name=printable(name), stage="filter", reason=reason, detail=detail)


def printable(name: str) -> str:
    """Return a stored name as valid Unicode; names that cannot be decoded remain distinct."""
    if name.isascii():
        return name
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def base_name(name: str) -> str:
    """Return the last part of a stored name, as valid Unicode."""
    return printable(name[name.rfind("/") + 1 :])


def name_in_class(name: str, label: str) -> str:
    """Return a stored name as valid Unicode: with the folders within its class, without those around it.

    Those within are behind the innermost folder that is named as the class; where none is, all are.

    Args:
        name: with its folders.
        label: of the class; if it is empty, the name comes back without folders.
    """
    slash = name.rfind("/")  # plain strings are fast, and there are millions of members
    inner = _inner_folders(name[:slash], label) if slash >= 0 and label else ""
    return inner + printable(name[slash + 1 :])


@lru_cache(maxsize=1024)
def _inner_folders(folder: str, label: str) -> str:
    """Return the folders of a path that lie within a class, each with a slash behind it."""
    parts = [part for part in printable(folder).split("/") if part not in ("", ".")]
    if "/".join(parts) == label:  # where paths are labels
        return ""
    around = max((at for at, part in enumerate(parts) if part == label.rpartition("/")[2]), default=-1)
    return "".join(f"{part}/" for part in parts[around + 1 :])


def stored_path(path: str) -> str:
    """Return a path in the form in which tables store it: as it is, if that is valid Unicode."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return _UNDECODABLE + os.fsencode(path).decode("latin-1")
    return path


def path_of(stored: str) -> str:
    """Return the path that `stored_path` stored."""
    return os.fsdecode(stored[1:].encode("latin-1")) if stored.startswith(_UNDECODABLE) else stored


def tar_stem(name: str) -> str:
    """Return the name of a tar, gzipped or not, without its suffix."""
    return name[: -len(next(suffix for suffix in TARS if name.lower().endswith(suffix)))]

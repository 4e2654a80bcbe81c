"""Names in raw dumps: which are of images, which are unsafe, how they are shown."""

from in21k.prep.records import Reason, Reject

IMAGE_SUFFIXES = frozenset((".jpeg", ".jpg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"))

GIVEN_SPLITS = {"imagenet21k_train": "train", "imagenet21k_val": "val", "imagenet21k_small_classes": ""}
"""The folders of the official processed release, and the split that each one gives its images."""


def refuse_name(wnid: str, name: str, size: int, is_file: bool, kind: str) -> Reject | None:
    """Return why a file of a class is no image by its name and type, None where it may be one.

    Args:
        wnid: the class.
        name: as stored, with the folders before it.
        size: in bytes.
        is_file: whether it is a regular file.
        kind: what it is where it is none.
    """
    base = name[name.rfind("/") + 1 :]  # plain strings: this is done for each of millions of members
    dot = base.rfind(".")
    if name[:1] == "/" or (".." in name and ".." in name.split("/")):
        reason, detail = Reason.UNSAFE_NAME, "the name leads out of the folder"
    elif base[:2] == "._":
        reason, detail = Reason.MACOS_METADATA, f"{size} bytes"
    elif not is_file:
        reason, detail = Reason.NOT_A_FILE, kind
    elif dot < 1 or base[dot:].lower() not in IMAGE_SUFFIXES:
        reason, detail = Reason.NOT_AN_IMAGE_NAME, f"{size} bytes"
    else:
        return None
    return Reject(wnid, printable(name), "filter", reason, detail)


def printable(name: str) -> str:
    """Return a stored name as valid Unicode, still telling undecodable names apart."""
    if name.isascii():
        return name
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def base_name(name: str) -> str:
    """Return the last part of a stored name, as valid Unicode."""
    return printable(name[name.rfind("/") + 1 :])

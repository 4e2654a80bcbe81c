"""Names of files that a list from elsewhere gives: they stay below their folder."""

from pathlib import PurePosixPath

from in21k.train.errors import TrainError


def safe_name(name: object, source: str) -> str:
    """Return a relative path that an untrusted file names.

    Args:
        name: what stands there.
        source: the file, for errors.

    Raises:
        TrainError: it is no text, absolute, or leads out of the folder.
    """
    if not isinstance(name, str) or not name or "\0" in name or "\\" in name:
        raise TrainError(f"{source} names the image {str(name)[:80]!r}, which is no relative path")
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise TrainError(f"{source} names the image {name[:80]!r}, which does not lie in the folder of images")
    return str(path)

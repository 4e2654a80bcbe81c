"""Keys of samples."""

import hashlib
import re
from collections.abc import Sequence

from in21k.prep.records import RawImage
from in21k.shards_manifest.sample_table import key_prefix

_CONVENTIONAL = re.compile(r"[A-Za-z0-9_-]{1,80}")
_OTHERWISE = re.compile(r"[^A-Za-z0-9_-]+")
_READABLE = 70
"""How many characters of a key are not its digest."""


def sample_key(label: str, name: str) -> str:
    """Return the WebDataset key of an image: the stem of its name if that is `<wnid>_…`, as in ImageNet.

    Keys consist of letters, digits, `_` and `-`, at most 96 of them. Other names become the class's prefix (`<wnid>_`,
    or what `key_prefix` makes of any other label), what can be kept of the stem, and a digest of the whole name, so
    that no two images get the same key.
    """
    prefix = key_prefix(label)
    stem = name.rpartition(".")[0] or name
    if stem.startswith(prefix) and prefix == f"{label}_" and _CONVENTIONAL.fullmatch(stem):
        return stem
    digest = hashlib.blake2b(name.encode(), digest_size=6).hexdigest()
    readable = _OTHERWISE.sub("-", stem.removeprefix(f"{label}_"))[: _READABLE - len(prefix)]
    return f"{prefix}{readable}-{digest}"


def keyed_images(label: str, images: Sequence[RawImage]) -> list[tuple[str, RawImage]]:
    """Return a class's images with their keys, in order.

    A key is made of the file name alone, as if the class had no folders within it, and the image is named so. Where
    files in several of its folders would get the same key, they are named by, and their keys made of, their paths in
    the class. Which images have the same name and folder is left to the caller.
    """
    if not any("/" in image.name for image in images):
        return [(sample_key(label, image.name), image) for image in images]
    paths = [image.name.rpartition("/") for image in images]
    keys = [sample_key(label, name) for _, _, name in paths]
    folders: dict[str, set[str]] = {}
    for key, (folder, _, _) in zip(keys, paths, strict=True):
        folders.setdefault(key, set()).add(folder)
    return [
        (sample_key(label, image.name), image) if len(folders[key]) > 1 else (key, image._replace(name=name))
        for key, image, (_, _, name) in zip(keys, images, paths, strict=True)
    ]

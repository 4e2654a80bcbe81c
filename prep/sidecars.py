"""Writing the sidecars of a prepared dataset: what timm, wids, Hugging Face, DALI and open_clip read."""

from in21k.shards_manifest.files import Location
from in21k.shards_manifest.manifest import Manifest, read_manifest
from in21k.shards_manifest.sidecars import all_sidecars


def rewrite_sidecars(dataset: Location) -> list[str]:
    """Write the sidecars of a finished dataset that are missing or differ, and return their paths.

    Raises:
        DatasetError: it is no finished dataset, or its tables cannot be read.
    """
    return write_sidecars(dataset, read_manifest(dataset))


def write_sidecars(dataset: Location, manifest: Manifest) -> list[str]:
    """Write the sidecars that are missing or differ, and return their paths relative to the dataset.

    Args:
        dataset: with its tables; the shards are not needed.
        manifest: the dataset's.

    Raises:
        DatasetError: the tables cannot be read, or the file system refuses the write.
    """
    written = []
    for name, content in all_sidecars(dataset, manifest):
        location = dataset / name
        if location.size() != len(content) or location.read_bytes() != content:
            location.write_bytes(content)
            written.append(name)
    return written

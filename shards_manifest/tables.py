"""The tables beside a manifest, compared with what it records of them."""

import hashlib

from in21k.shards_manifest.errors import DatasetError
from in21k.shards_manifest.manifest import Manifest
from in21k.shards_manifest.storage.location import Location


def read_recorded(dataset: Location, manifest: Manifest, name: str) -> bytes:
    """Return a whole table, once it is clear that it is the one that the manifest records.

    A manifest that was written before tables were recorded is taken at its word.

    Raises:
        DatasetError: the table is missing, or its length or SHA-256 is not the manifest's.
    """
    require_recorded_length(dataset, manifest, name)
    content = (dataset / name).read_bytes()
    recorded = manifest.tables.get(name)
    if recorded is not None and hashlib.sha256(content).hexdigest() != recorded.sha256:
        raise _changed(dataset / name, "its SHA-256 is not the manifest's")
    return content


def require_recorded_length(dataset: Location, manifest: Manifest, name: str) -> None:
    """Refuse a table whose length is not the one that the manifest records; nothing of it is read.

    Raises:
        DatasetError: the lengths differ, or the table is missing.
    """
    recorded = manifest.tables.get(name)
    if recorded is None:
        return
    location = dataset / name
    size = location.size()
    if size is None:
        raise DatasetError(f"{location.text}: there is no such file, but the manifest records it; copy it again")
    if size != recorded.bytes:
        raise _changed(location, f"it has {size} bytes, not {recorded.bytes} as in the manifest")


def _changed(location: Location, how: str) -> DatasetError:
    return DatasetError(
        f"{location.text} has changed since the dataset was written: {how}; copy it again, or mend the dataset with "
        "`in21k-prep repair`"
    )

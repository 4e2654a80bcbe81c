"""What `filter` and `resize` find in a raw dump: every image's bytes, and the rejects."""

from dataclasses import dataclass
from pathlib import Path

from in21k.prep.raw.open import open_raw
from in21k.prep.raw.source import open_archive
from in21k.prep.records import Reject
from in21k.shards_manifest.storage.location import locate


@dataclass(frozen=True)
class RawContents:
    images: dict[tuple[str, str], list[bytes]]
    """The bytes under each wnid and file name, which may come more than once."""
    rejects: list[Reject]

    def refusals(self) -> set[tuple[str, str, str]]:
        return {(reject.wnid, reject.name, reject.reason.value) for reject in self.rejects}

    def counts(self) -> dict[str, int]:
        """Return the number of images of each class."""
        counts: dict[str, int] = {}
        for (wnid, _), found in self.images.items():
            counts[wnid] = counts.get(wnid, 0) + len(found)
        return counts


def read_raw(raw: Path | str, work: Path) -> RawContents:
    work.mkdir(parents=True, exist_ok=True)
    images: dict[tuple[str, str], list[bytes]] = {}
    rejects = []
    for found in open_raw(locate(raw), locate(work)).classes():
        rejects += found.rejects
        for image in found.images:
            reader = open_archive(locate(raw), image.archive, locate(work))
            data = reader.read(image.offset, image.size)
            reader.close()
            images.setdefault((found.wnid, image.name.rpartition("/")[2]), []).append(data)
    return RawContents(images, rejects)

"""The list of a dump's images, class by class, however the dump stores them."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from in21k.prep.bucket_sort import BucketSort
from in21k.prep.raw.dump import MixedDump, RawBatch, RawClass, RawDump
from in21k.prep.records import IMAGES_SCHEMA, RawImage, Reject
from in21k.prep.stages.mixed_order import images_in_class_order
from in21k.prep.stages.record import IMAGES
from in21k.prep.tables import TableWriter, table_writer
from in21k.shards_manifest.command.progress import Progress
from in21k.shards_manifest.storage.location import Location


@dataclass
class Listed:
    """What a dump holds, besides the list itself."""

    images: Counter[str] = field(default_factory=Counter)
    """The number of images of each class, of which some may have none."""
    given: int = 0
    """The number of images that the dump assigns to a split."""
    rejects: list[Reject] = field(default_factory=list)


def list_images(dump: RawDump | MixedDump, work: Location, stage: str, *, resplit: bool) -> Listed:
    """Write a row per image to `images.parquet`, those of a class together, and return what else there is.

    Memory is bounded, whatever the dump's length, by its largest class.

    Args:
        dump: the dump.
        work: the work folder.
        stage: what the progress bar says.
        resplit: whether to forget the splits that the dump gives.

    Raises:
        PrepError: the dump is truncated or damaged, or an image's class is not known.
    """
    listed = Listed()
    batches = dump.batches() if dump.is_mixed else map(_batch, dump.classes())
    with _table(work, dump.is_mixed) as table, Progress(stage, dump.unit, dump.size) as bar:
        for batch in batches:
            images = [image._replace(given_split="") for image in batch.images] if resplit else batch.images
            _count(batch, images, listed)
            if images:
                table.extend(batch.wnids, *zip(*images, strict=True))
            bar.reach(batch.end)
    return listed


@contextmanager
def _table(work: Location, mixed: bool) -> Iterator[TableWriter | BucketSort]:
    """Yield what takes the rows of the images' table, which is there when the block ends without an exception."""
    if mixed:
        with images_in_class_order(work) as rows:
            yield rows
    else:
        with table_writer(work / IMAGES, IMAGES_SCHEMA) as writer:
            yield writer


def _batch(found: RawClass) -> RawBatch:
    return RawBatch([found.wnid] * len(found.images), found.images, found.rejects, found.end, named=found.wnid)


def _count(batch: RawBatch, images: list[RawImage], listed: Listed) -> None:
    if batch.named:
        listed.images[batch.named] += len(images)
    else:
        listed.images.update(batch.wnids)
    listed.given += sum(1 for image in images if image.given_split)
    listed.rejects += batch.rejects

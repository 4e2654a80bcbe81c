"""Exports a split as two lists without images: train.txt and val.txt, a path and a class index per line."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from in21k.prep.errors import PrepError
from in21k.prep.records import CLASSES_SCHEMA, SPLIT_SCHEMA
from in21k.prep.stages.image_rows import open_image_rows
from in21k.prep.stages.record import CLASSES, SPLIT, required
from in21k.shards_manifest.manifest import SPLITS
from in21k.shards_manifest.markers import FolderKind, require_place_for
from in21k.shards_manifest.parquet_table import read_columns
from in21k.shards_manifest.storage.location import Location, locate

_COLUMNS = ("class_index", "rank", "split", "name")


def write_lists(work: Location, folder: Path) -> dict[str, int]:
    """Write `train.txt` and `val.txt`, and return the number of lines of each.

    A line is `<class>/<file name> <class index>`; lines are in order of class and of rank within it. Memory is bounded
    by the names of all images.

    Args:
        work: the work folder, with `split` done.
        folder: where to write; created if it does not exist.

    Raises:
        PrepError: `split` has not been done, or other files of these names are there.
    """
    required(work, "split")
    place = locate(folder)
    require_place_for(place, FolderKind.REPORT, option="--export-lists")
    texts = {split: _text(work, split) for split in SPLITS}
    for split, text in texts.items():
        file = place / f"{split}.txt"
        if file.exists() and file.read_bytes() != text:
            raise PrepError(f"{file.text} exists and is another list; give another --export-lists")
    place.make_folder()
    for split, text in texts.items():
        (place / f"{split}.txt").write_bytes(text)
    return {f"{split}_lines": text.count(b"\n") for split, text in texts.items()}


def _text(work: Location, split: str) -> bytes:
    classes = read_columns(work / CLASSES, CLASSES_SCHEMA)
    labels: list[str] = classes.filter(classes["kept"])["wnid"].to_pylist()
    rows = _rows(work, split)
    order = np.lexsort((rows["rank"].to_numpy(), rows["class_index"].to_numpy()))
    indices, names = rows["class_index"].to_numpy()[order].tolist(), rows["name"].take(pa.array(order)).to_pylist()
    for index, name in zip(indices, names, strict=True):
        if not name.isprintable():
            raise PrepError(f"{work.text}: the name {labels[index]}/{name!a} does not fit on a line of a list")
    return "".join(f"{labels[index]}/{name} {index}\n" for index, name in zip(indices, names, strict=True)).encode()


def _rows(work: Location, split: str) -> pa.Table:
    """Return the rows of the split table that are in a split."""
    with open_image_rows(work / SPLIT, SPLIT_SCHEMA) as file:
        groups = (file.read(at, names=_COLUMNS) for at in range(len(file)))
        return pa.concat_tables([table.filter(pc.equal(table["split"], split)) for table in groups])

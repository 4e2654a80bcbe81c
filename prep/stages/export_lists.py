"""Exports a split as two lists without images: train.txt and val.txt, a path and a class index per line."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from in21k.prep.errors import PrepError
from in21k.prep.records import SPLIT_SCHEMA
from in21k.prep.stages.class_rows import read_class_rows
from in21k.prep.stages.image_rows import open_image_rows
from in21k.prep.stages.merge import Settlement
from in21k.prep.stages.parts import count_parts, read_part
from in21k.prep.stages.record import PARTS, SPLIT, read_record, required
from in21k.shards_manifest.manifest import SPLITS
from in21k.shards_manifest.markers import FolderKind, require_place_for
from in21k.shards_manifest.storage.location import Location, locate

Numbers = npt.NDArray[np.int64]

_COLUMNS = ("class_index", "rank", "split", "name")


def write_lists(work: Location, folder: Path) -> dict[str, int]:
    """Write `train.txt` and `val.txt`, and return the number of lines of each.

    A line is `<class>/<file name> <class index>`; lines are in order of class and of rank within it. Once `resize` is
    done, the lists name the images that it wrote, in the split in which they are; before, those that `split` chose.
    Memory is bounded by the names of all images.

    Args:
        work: the work folder, with `split` done.
        folder: where to write; created if it does not exist.

    Raises:
        PrepError: `split` has not been done, or other files of these names are there.
    """
    required(work, "split")
    place = locate(folder)
    require_place_for(place, FolderKind.REPORT, option="--export-lists")
    labels: list[str] = read_class_rows(work).filter(pc.field("kept"))["wnid"].to_pylist()
    rows = _rows(work)
    texts = {split: _text(rows.filter(pc.equal(rows["split"], split)), labels, work.text) for split in SPLITS}
    for split, text in texts.items():
        file = place / f"{split}.txt"
        if file.exists() and file.read_bytes() != text:
            raise PrepError(f"{file.text} exists and is another list; give another --export-lists")
    place.make_folder()
    for split, text in texts.items():
        (place / f"{split}.txt").write_bytes(text)
    return {f"{split}_lines": text.count(b"\n") for split, text in texts.items()}


def _text(rows: pa.Table, labels: list[str], where: str) -> bytes:
    order = np.lexsort((rows["rank"].to_numpy(), rows["class_index"].to_numpy()))
    indices, names = rows["class_index"].to_numpy()[order].tolist(), rows["name"].take(pa.array(order)).to_pylist()
    for index, name in zip(indices, names, strict=True):
        if not (name.isprintable() and labels[index].isprintable()):
            raise PrepError(f"{where}: the name {labels[index]!a}/{name!a} does not fit on a line of a list")
    return "".join(f"{labels[index]}/{name} {index}\n" for index, name in zip(indices, names, strict=True)).encode()


def _rows(work: Location) -> pa.Table:
    """Return the rows of the split table, with the splits that resize settled if it is done."""
    with open_image_rows(work / SPLIT, SPLIT_SCHEMA) as file:
        rows = pa.concat_tables([file.read(at, names=_COLUMNS) for at in range(len(file))])
    if read_record(work, "resize") is None:
        return rows
    written, is_val = _written(work)
    images = _numbers(rows["class_index"].to_numpy(), rows["rank"].to_numpy())
    at = np.minimum(np.searchsorted(written, images), len(written) - 1)
    splits = np.where(written[at] == images, np.where(is_val[at], "val", "train"), "")
    return rows.set_column(rows.column_names.index("split"), "split", pa.array(splits))


def _written(work: Location) -> tuple[Numbers, npt.NDArray[np.bool_]]:
    """Return int64 [n] and bool [n]: the images in the parts, ascending, and whether each is val."""
    folder = work / PARTS
    parts = count_parts(folder)
    settlement = Settlement.of(work, parts)
    numbers, val = [np.empty(0, np.int64)], [np.empty(0, np.bool_)]
    for part in range(parts):
        table = read_part(folder, part, settlement.classes)
        is_train, is_val = settlement.train_and_val(table)
        chosen = is_train | is_val
        numbers.append(_numbers(table["class_index"].to_numpy(), table["rank"].to_numpy())[chosen])
        val.append(is_val[chosen])
    every = np.concatenate(numbers)
    order = np.argsort(every)
    return every[order], np.concatenate(val)[order]


def _numbers(class_indices: npt.NDArray[np.int32], ranks: npt.NDArray[np.int32]) -> Numbers:
    """Return int64 [n]: a number for each image, of its class and its rank there."""
    return class_indices.astype(np.int64) << 32 | ranks

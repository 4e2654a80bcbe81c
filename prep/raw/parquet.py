"""Dumps that are Parquet files with a column of images, as the hub converts datasets; classes lie mixed."""

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from in21k.prep.errors import PrepError
from in21k.prep.raw.dump import RawBatch
from in21k.prep.raw.dump_files import DumpFile, FilesDump, files_by_pattern, files_in
from in21k.prep.raw.entries import Entry
from in21k.prep.raw.folders import beside_reject
from in21k.prep.raw.members import reject
from in21k.prep.raw.names import base_name, name_in_class
from in21k.prep.raw.parquet_columns import ImageColumns, image_columns, opened_parquet
from in21k.prep.raw.samples import fit_class, wnid_in
from in21k.prep.records import RawImage, Reason, Reject
from in21k.shards_manifest.errors import one_line
from in21k.shards_manifest.storage.location import Location

LAYOUT = "parquet"

_MAGIC = b"PAR1"
_ROWS_AT_ONCE = 128
"""Few, as a file may repeat a long name at no cost of its own; pyarrow reads no names within a struct by reference."""


class ParquetDump(FilesDump):
    """Parquet files in a folder, or a single one; their images' bytes are not read to list them."""

    layout = LAYOUT

    def _of_file(self, file: DumpFile, before: int) -> Iterator[RawBatch]:
        location = file.within(self._location)
        with opened_parquet(location) as plain:
            columns = image_columns(plain, location.text)
        names = self._class_list or columns.class_names
        with opened_parquet(location, [columns.label] if columns.label else []) as parquet:
            row, rows = 0, max(1, parquet.metadata.num_rows)
            try:
                for batch in parquet.iter_batches(_ROWS_AT_ONCE, columns=columns.described, use_threads=False):
                    found = self._of_batch(batch, columns, names, file, row)
                    row += len(batch)
                    yield RawBatch(*found, before + file.size * row // rows)
            except (pa.ArrowException, OSError, ValueError) as error:
                raise PrepError(f"{location.text} is damaged ({one_line(error)}); download it again") from error

    def _of_batch(
        self, batch: pa.RecordBatch, columns: ImageColumns, names: Sequence[str], file: DumpFile, first: int
    ) -> tuple[list[str], list[RawImage], list[Reject]]:
        wnids: list[str] = []
        images: list[RawImage] = []
        rejects: list[Reject] = []
        stem = base_name(file.archive or self._location.name).rpartition(".")[0]
        for row, (path, label) in enumerate(
            zip(_texts(batch, columns.path), _texts(batch, columns.label), strict=True), first
        ):
            wnid = self._class_of(label, path or "", names, file)
            name = name_in_class(path, wnid) if path else f"{stem}-{row}"
            if wnid:
                wnids.append(wnid)
                images.append(RawImage(name, file.archive, row, 0, file.split))
            else:
                detail = f"row {row}: its label {label!r:.60} is no class"
                rejects.append(reject("", name, Reason.NOT_IN_A_CLASS, detail))
        return wnids, images, rejects

    def _class_of(self, label: Any, path: str, names: Sequence[str], file: DumpFile) -> str:
        if label is None:
            return wnid_in(path)
        if isinstance(label, str):
            return fit_class(label)
        if not names and not (wnid := wnid_in(path)):
            raise PrepError(
                f"{file.within(self._location).text} labels images with numbers such as {label}, and nothing says "
                "which classes they are; give these in the order of their numbers with --class-list"
            )
        if not names:
            return wnid
        return fit_class(names[label]) if 0 <= label < len(names) else ""


def single_parquet(raw: Location, class_list: Sequence[str]) -> ParquetDump | None:
    """Return the dump that is a single Parquet file, None if the file is something else."""
    return ParquetDump(raw, [DumpFile("", raw.size() or 0)], class_list) if _is_parquet(raw) else None


def parquet_by_pattern(pattern: Location, class_list: Sequence[str]) -> ParquetDump | None:
    """Return the Parquet files that a pattern names, None if it names something else."""
    files = files_by_pattern(pattern)
    if not files or not _is_parquet(files[0].within(pattern.parent)):
        return None
    return ParquetDump(pattern.parent, files, class_list)


def parquet_in_folder(folder: Location, class_list: Sequence[str]) -> ParquetDump | None:
    """Return the Parquet files in a folder or in the folders in it, None if it holds none."""
    found = files_in(folder, _is_named_parquet)
    if not found.files:
        return None
    return ParquetDump(folder, found.dump_files(), class_list, [beside_reject(entry) for _, entry in found.others])


def _is_named_parquet(entry: Entry) -> bool:
    return entry.is_file and entry.name.lower().endswith(".parquet") and not entry.name.startswith(".")


def _is_parquet(file: Location) -> bool:
    reader = file.open_ranges()
    try:
        return reader.read(0, len(_MAGIC)) == _MAGIC
    finally:
        reader.close()


def _texts(batch: pa.RecordBatch, leaf: str) -> list[Any]:
    """Return the values of a leaf, texts and numbers as Python has them; a text that repeats is one object."""
    if not leaf:
        return [None] * len(batch)
    column = batch.column(leaf.partition(".")[0])
    if pa.types.is_struct(column.type):
        column = column.field(0) if column.null_count == 0 else pc.struct_field(column, [0])
    if not pa.types.is_dictionary(column.type):
        return list(column.to_pylist())
    values = column.dictionary.to_pylist()
    return [None if at is None else values[at] for at in column.indices.to_pylist()]

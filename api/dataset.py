"""A prepared dataset opened: its manifest, hierarchy and samples, any image by its key, and batches for training."""

from functools import cached_property
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from in21k.shards_manifest.errors import DatasetError, NoSuchSampleError, NoSuchSplitError, one_line
from in21k.shards_manifest.images.decode import read_pixels
from in21k.shards_manifest.images.limits import Limits
from in21k.shards_manifest.key_search import find_sample
from in21k.shards_manifest.manifest import HIERARCHY, SAMPLES, SPLITS, Manifest, read_manifest
from in21k.shards_manifest.parquet_table import columns_of, read_columns
from in21k.shards_manifest.sample_table import SCHEMA, SampleTable
from in21k.shards_manifest.storage.location import Location, locate
from in21k.shards_manifest.tables import read_recorded
from in21k.shards_manifest.tar import TarError
from in21k.train.data.prepared.parse import ForeignSampleError, parse_sample
from in21k.tree.hierarchy import Hierarchy
from in21k.tree.table import ANY_SCHEMA, hierarchy_of

if TYPE_CHECKING:
    from typing import Unpack

    from PIL.Image import Image

    from in21k.stream import Stream, StreamOptions


_LIMITS = Limits(pixels=1 << 26, memory=1 << 29)
"""As in training."""


class PreparedDataset:
    """A dataset that `in21k-prep` wrote, in a folder or an object store."""

    location: Location
    """Where it is."""
    manifest: Manifest
    """What it holds and how it was made."""

    def __init__(self, path: str) -> None:
        """Open a dataset; nothing but its manifest is read until it is asked for.

        Args:
            path: its folder or URI.

        Raises:
            DatasetError: there is no finished dataset.
        """
        self._path = path
        self.location = locate(path)
        self.manifest = read_manifest(self.location)

    def __reduce__(self) -> tuple[Any, ...]:
        """Be opened anew in a process that it is sent to, such as a DataLoader's worker."""
        return PreparedDataset, (self._path,)

    def __len__(self) -> int:
        """Return the number of samples in both splits."""
        return sum(self.manifest.samples(split) for split in SPLITS)

    def __repr__(self) -> str:
        counts = [f"{self.manifest.samples(split):,} {split} samples" for split in SPLITS]
        return f"PreparedDataset({self.location.text}: {self.manifest.classes:,} classes, {', '.join(counts)})"

    @cached_property
    def classes(self) -> pa.Table:
        """The hierarchy table, a row per class in order of class index; `classes.to_pandas()` for pandas.

        Raises:
            DatasetError: it cannot be read, or has changed since the dataset was written.
        """
        content = read_recorded(self.location, self.manifest, HIERARCHY)
        return columns_of(content, self.location.child(HIERARCHY).text, ANY_SCHEMA)

    @cached_property
    def hierarchy(self) -> Hierarchy:
        """The hierarchy of the classes, which takes their names, wnids or indices.

        Raises:
            DatasetError, TreeError: its table is damaged.
        """
        return hierarchy_of(self.classes, self.location.child(HIERARCHY).text)

    def samples(self, split: str = "") -> pa.Table:
        """Return the sample table, a row per sample in the shards' order; `samples().to_pandas()` for pandas.

        Its columns are `split`, `shard` (its number in the split), `key`, `class_index`, `offset`, `size` and
        `image_bytes`.

        Args:
            split: `train` or `val`; by default both. In memory, a million samples take about 45 MB.

        Raises:
            NoSuchSplitError: there is no such split; it is a ValueError.
            DatasetError: the table cannot be read.
        """
        if not split:
            return read_columns(self.location.child(SAMPLES), SCHEMA)
        self._require(split)
        return self._table.of_split(split)

    def image(self, key: str) -> "Image":
        """Return the image with a key, RGB.

        Its bytes alone are read, and the rows of the sample table for a shard or two, in which its key must be.

        Args:
            key: such as `n02084071_1234`, as in the sample table.

        Raises:
            NoSuchSampleError: no sample has this key; it is a KeyError.
            DatasetError: it cannot be read.
            ImageError: it does not decode.
        """
        import PIL.Image

        return PIL.Image.fromarray(read_pixels(self.image_bytes(key), _LIMITS))

    def image_bytes(self, key: str) -> bytes:
        """Return the file of the image with a key, as the shard holds it.

        Raises:
            NoSuchSampleError: no sample has this key; it is a KeyError.
            DatasetError: it cannot be read.
        """
        found = find_sample(self._table, self.manifest, key)
        if found is None:
            raise NoSuchSampleError(f"{self.location.text}: no sample has the key {key[:100]!r}; see samples()['key']")
        index = self._table.index(found.split, found.shard)
        shard = self.location / self.manifest.splits[found.split][found.shard].path
        reader = shard.open_ranges()
        try:
            content = memoryview(reader.read(int(index.offsets[found.row]), int(index.sizes[found.row])))
        finally:
            reader.close()
        try:
            parsed = parse_sample(content, self.manifest.images.suffix)
        except (ForeignSampleError, TarError, ValueError) as error:
            raise DatasetError(f"{shard.text}: the sample {key} is damaged ({one_line(error)})") from error
        if parsed.key != key:
            raise DatasetError(f"{shard.text} holds {parsed.key} in the place of {key}; look with `in21k-prep verify`")
        return bytes(parsed.image)

    def stream(self, split: str = "train", *, batch_size: int, **options: "Unpack[StreamOptions]") -> "Stream":
        """Return batches for a training loop of your own.

        Args:
            split: `train`, in an order that a seed shuffles anew in each epoch; or `val`, each sample once.
            batch_size: images per step on this rank.
            **options: the others of `StreamOptions`.

        Raises:
            NoSuchSplitError: there is no such split; it is a ValueError.
            NoSuchOptionError: a stream has no such option; it is a TypeError.
            OptionValueError: an option has a value that it cannot have; it is a ValueError.
            DatasetError: the dataset cannot be read.
            ImportError: the train extra is not installed.
        """
        self._require(split)
        try:
            from in21k.stream import make_stream
        except ModuleNotFoundError as error:
            raise ImportError(f"a stream needs {error.name}: pip install 'in21k[train]'") from error
        return make_stream(self._path, split, batch_size, options)

    @cached_property
    def _table(self) -> SampleTable:
        return SampleTable(self.location, self.manifest)

    def _require(self, split: str) -> None:
        if split not in SPLITS:
            raise NoSuchSplitError(f"{self.location.text} has no split {split!r}; it has {' and '.join(SPLITS)}")


def open_dataset(path: "str | PathLike[str]") -> PreparedDataset:
    """Return the prepared dataset in a folder or at a URI such as `s3://bucket/imagenet21k`.

    Nothing but the manifest is read until it is asked for.

    Raises:
        DatasetError: there is no finished dataset.
    """
    return PreparedDataset(fspath(path))

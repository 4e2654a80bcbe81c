"""A prepared dataset opened: its manifest, hierarchy and samples, any image by its key, and batches for training."""

from functools import cached_property
from os import PathLike, fspath
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from in21k.key_index import KeyIndex
from in21k.shards_manifest.errors import DatasetError, one_line
from in21k.shards_manifest.images.decode import read_pixels
from in21k.shards_manifest.images.limits import Limits
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
            split: `train` or `val`; by default both.

        Raises:
            DatasetError: there is no such split, or the table cannot be read.
        """
        table = read_columns(self.location.child(SAMPLES), SCHEMA)
        if not split:
            return table
        self._require(split)
        return table.filter(pc.equal(table["split"].cast(pa.string()), split))

    def image(self, key: str) -> "Image":
        """Return the image with a key, RGB.

        Its bytes alone are read, of which the sample table says where they lie. The first call also reads all keys,
        which takes a second per two million samples.

        Args:
            key: such as `n02084071_1234`, as in the sample table.

        Raises:
            DatasetError: no sample has this key, or it cannot be read.
            ImageError: it does not decode.
        """
        import PIL.Image

        return PIL.Image.fromarray(read_pixels(self.image_bytes(key), _LIMITS))

    def image_bytes(self, key: str) -> bytes:
        """Return the file of the image with a key, as the shard holds it.

        Raises:
            DatasetError: no sample has this key, or it cannot be read.
        """
        place = self._keys.find(key)
        if place is None:
            raise DatasetError(f"{self.location.text}: no sample has the key {key[:100]!r}; see samples()['key']")
        shard = self.location / place.shard
        reader = shard.open_ranges()
        try:
            content = memoryview(reader.read(place.offset, place.size))
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
            DatasetError: there is no such split, or an option is not possible.
            ImportError: the train extra is not installed.
        """
        self._require(split)
        try:
            from in21k.stream import make_stream
        except ModuleNotFoundError as error:
            raise ImportError(f"a stream needs {error.name}: pip install 'in21k[train]'") from error
        return make_stream(self._path, split, batch_size, options)

    @cached_property
    def _keys(self) -> KeyIndex:
        return KeyIndex(SampleTable(self.location, self.manifest), self.manifest)

    def _require(self, split: str) -> None:
        if split not in SPLITS:
            raise DatasetError(f"{self.location.text} has no split {split!r}; it has {' and '.join(SPLITS)}")


def open_dataset(path: "str | PathLike[str]") -> PreparedDataset:
    """Return the prepared dataset in a folder or at a URI such as `s3://bucket/imagenet21k`.

    Nothing but the manifest is read until it is asked for.

    Raises:
        DatasetError: there is no finished dataset.
    """
    return PreparedDataset(fspath(path))

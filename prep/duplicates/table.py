"""The table of twins, `duplicates.parquet`, out of the sets that the images are from."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from in21k.prep.duplicates.fingerprints import Fingerprints
from in21k.prep.duplicates.image_sets import ListedSet, PreparedSet
from in21k.prep.duplicates.pairs import ImagePairs
from in21k.prep.duplicates.twins import IntArray, Likeness
from in21k.prep.executor import Workers
from in21k.shards_manifest.manifest import HIERARCHY, SPLITS
from in21k.tree.hierarchy import Hierarchy
from in21k.tree.table import read_hierarchy

_NONE = -1


class Kind(StrEnum):
    """What two twins are to each other."""

    WITHIN_CLASS = "within-class"
    ACROSS_CLASSES = "across-classes"
    AGAINST = "against"
    """The second is in another set."""


DUPLICATES_SCHEMA = pa.schema(
    [
        pa.field("kind", pa.dictionary(pa.int8(), pa.string()), nullable=False),  # a value of Kind
        pa.field("train_val", pa.bool_(), nullable=False),  # one is in train, the other in val
        pa.field("distance", pa.uint8(), nullable=False),  # in how many of 64 bits their hashes differ
        pa.field("likeness", pa.dictionary(pa.int8(), pa.string()), nullable=False),  # same, mirrored, cropped, …
        pa.field("same_file", pa.bool_(), nullable=False),  # their files have the same digest
        pa.field("tree_distance", pa.int32()),  # edges between their classes, -1 where no path connects them
        pa.field("first_key", pa.string(), nullable=False),
        pa.field("first_split", pa.dictionary(pa.int8(), pa.string()), nullable=False),
        pa.field("first_wnid", pa.dictionary(pa.int32(), pa.string()), nullable=False),
        pa.field("second_set", pa.dictionary(pa.int32(), pa.string())),  # null where it is in the dataset, too
        pa.field("second_key", pa.string(), nullable=False),  # in a folder or a tar: the image's path
        pa.field("second_split", pa.dictionary(pa.int8(), pa.string())),
        pa.field("second_wnid", pa.dictionary(pa.int32(), pa.string())),
    ]
)
"""`duplicates.parquet`: a row per pair of twins, of which the first is in the dataset."""


@dataclass(frozen=True, eq=False)
class JoinedSets:
    """A dataset and the sets that it is compared with, as one numbered series of images: the dataset's come first."""

    dataset: PreparedSet
    others: Sequence[ListedSet | PreparedSet]

    @cached_property
    def starts(self) -> IntArray:
        """int64 [sets + 1]: the number of each set's first image."""
        return np.cumsum([0, len(self.dataset), *map(len, self.others)])

    @cached_property
    def hierarchy(self) -> Hierarchy:
        """The dataset's hierarchy."""
        location = self.dataset.location / HIERARCHY
        with location.open_input() as file:
            return read_hierarchy(file, location.text)

    def hashed(self, workers: Workers) -> tuple[Fingerprints, list[str]]:
        """Return the fingerprints of all images, and a finding per set about those that cannot be read."""
        parts, findings = [], []
        for images in (self.dataset, *self.others):
            found, faults = images.hashed(workers)
            parts.append(found)
            if faults:
                number, why = faults[0]
                name = images.keys(np.array([number]))[0]
                left_out = f"{len(faults):,} images cannot be read and are left out"
                findings.append(f"{images.location.text}: {left_out}; the first: {name} ({why})")
        return Fingerprints.joined(parts), findings

    def sets_of(self, images: IntArray) -> npt.NDArray[np.int64]:
        """Return the set of each image: 0 for the dataset."""
        return np.searchsorted(self.starts, images, side="right") - 1

    def keys(self, images: IntArray) -> pa.Array:
        """Return the keys or names of images."""
        sets = self.sets_of(images)
        keys = np.empty(len(images), object)
        for number, members in enumerate((self.dataset, *self.others)):
            chosen = sets == number
            if chosen.any():
                keys[chosen] = members.keys(images[chosen] - self.starts[number])
        return pa.array(keys, pa.string())

    def read(self, images: IntArray) -> Iterator[bytes]:
        """Yield the bytes of images, which are in ascending order."""
        sets = self.sets_of(images)
        for number, members in enumerate((self.dataset, *self.others)):
            yield from members.read(images[sets == number] - self.starts[number])

    def places(self, images: IntArray) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return the split (0 train, 1 val) and the class index of images, -1 for those of other sets."""
        own = images < len(self.dataset)
        at = np.where(own, images, 0)
        split, classes = self.dataset.is_val[at].astype(np.int64), self.dataset.classes[at].astype(np.int64)
        return np.where(own, split, _NONE), np.where(own, classes, _NONE)

    def concerns(self, pairs: ImagePairs) -> ImagePairs:
        """Return the pairs of which one at least is in the dataset."""
        return pairs.chosen(pairs.first < len(self.dataset))

    def table(self, pairs: ImagePairs, digests: npt.NDArray[np.uint64]) -> pa.Table:
        """Return pairs of which the first is in the dataset as a table of DUPLICATES_SCHEMA."""
        (split, wnid), (other_split, other_wnid) = self.places(pairs.first), self.places(pairs.second)
        is_own = pairs.second < len(self.dataset)
        kinds = np.where(is_own, np.where(wnid == other_wnid, 0, 1), 2)
        distances = self.hierarchy.tree_distance(wnid, np.where(is_own, other_wnid, wnid))
        names = [members.location.text for members in self.others]
        wnids = self.dataset.wnids
        columns = [
            _coded(kinds, list(Kind)),
            pa.array(is_own & (split != other_split)),
            pa.array(pairs.distances),
            _coded(pairs.likeness, [likeness.text for likeness in Likeness]),
            pa.array((digests[pairs.first] == digests[pairs.second]) & (digests[pairs.first] != 0)),
            pa.array(distances, mask=~is_own),
            self.keys(pairs.first),
            _coded(split, list(SPLITS)),
            _coded(wnid, wnids),
            _coded(self.sets_of(pairs.second) - 1, names),
            self.keys(pairs.second),
            _coded(other_split, list(SPLITS)),
            _coded(other_wnid, wnids),
        ]
        arrays = [column.cast(field.type) for column, field in zip(columns, DUPLICATES_SCHEMA, strict=True)]
        return pa.Table.from_arrays(arrays, schema=DUPLICATES_SCHEMA)


def _coded(numbers: npt.NDArray[np.generic], words: Sequence[str]) -> pa.Array:
    """Return words by their numbers, null where a number is negative."""
    indices = np.asarray(numbers).astype(np.int32)
    return pa.DictionaryArray.from_arrays(pa.array(indices, mask=indices < 0), pa.array(words, pa.string()))

"""What shard drops because another image shows the same picture, settled once and kept in the work folder."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from in21k.prep.duplicates.drop import Twins, nearest_marked, repeated_in_class
from in21k.prep.duplicates.fingerprints import Fingerprints
from in21k.prep.duplicates.image_sets import ListedSet, PreparedSet
from in21k.prep.duplicates.parameters import DISTANCE, require_distance
from in21k.prep.duplicates.twins import IntArray, find_near_groups, group_images
from in21k.prep.errors import PrepError
from in21k.prep.executor import Workers
from in21k.prep.records import PROVISIONAL, REJECTS_SCHEMA, SPARE, Reason
from in21k.prep.stages.drop_rows import DROPPED_SCHEMA, dropped_table
from in21k.prep.stages.merge import Settlement, image_codes
from in21k.prep.stages.parts import count_parts, read_part, read_part_fingerprints
from in21k.prep.stages.record import PARTS, StageRecord, has_given_split, is_mixed, required
from in21k.prep.tables import plain, write_table
from in21k.shards_manifest.errors import one_line
from in21k.shards_manifest.json_file import require_mapping
from in21k.shards_manifest.parquet_table import read_columns
from in21k.shards_manifest.storage.location import Location

_COUNTED = b"in21k.counts"


class Drop(StrEnum):
    """For which twin an image is dropped."""

    WITHIN_CLASS = "within-class"
    """For one of its class: of several, that of the lowest rank stays."""
    TRAIN_VAL = "train-val"
    """An image of train for one of val, which stays as it was held out."""
    AGAINST = "against"
    """For one in another set."""


_REASONS = {
    Drop.WITHIN_CLASS: Reason.DUPLICATE_WITHIN_CLASS,
    Drop.TRAIN_VAL: Reason.DUPLICATE_TRAIN_VAL,
    Drop.AGAINST: Reason.DUPLICATE_AGAINST,
}


@dataclass(frozen=True)
class DropParameters:
    """What to drop."""

    kinds: tuple[Drop, ...]
    distance: int = DISTANCE
    """In how many bits of 64 the hashes of twins may differ."""
    against: str = ""
    """The identities of the other sets, in which Drop.AGAINST looks for twins."""

    def __post_init__(self) -> None:
        require_distance(self.distance)

    @classmethod
    def of(cls, kinds: str, distance: int, against: str = "") -> "DropParameters":
        """Return the parameters with kinds as users write them: joined by commas.

        Raises:
            PrepError: a kind is unknown.
        """
        words = {word.strip() for word in kinds.split(",")} - {""}
        if unknown := words - {kind.value for kind in Drop}:
            known = ", ".join(Drop)
            raise PrepError(f"--drop-duplicates {min(unknown)}: give one or more of {known}, joined by commas")
        return cls(tuple(kind for kind in Drop if kind.value in words), distance, against)


@dataclass(frozen=True, eq=False)
class Dropped:
    """The images that are dropped."""

    table: pa.Table
    """With the columns of `dropped-….parquet`."""
    counts: Mapping[str, int]
    """What the record of resize counts, without them."""

    @cached_property
    def codes(self) -> IntArray:
        """int64 [n]: their codes, as by `image_codes`, ascending."""
        return image_codes(self.table["class_index"].to_numpy(), self.table["rank"].to_numpy())

    @property
    def rejects(self) -> pa.Table:
        """Those that would have been in the dataset, with REJECTS_SCHEMA."""
        listed = self.table.filter(pa.array(~self.table["is_spare"].to_numpy()))
        return listed.select(REJECTS_SCHEMA.names).replace_schema_metadata(None)


def settle_drops(
    work: Location, parameters: DropParameters, against: Sequence[ListedSet | PreparedSet] | None, workers: Workers
) -> Dropped | None:
    """Return what is dropped, None if nothing is to be; what was settled before is read from the work folder.

    Args:
        work: the work folder, with `resize` done.
        parameters: what to drop.
        against: the other sets; None if they are not at hand, which does if that was settled before.
        workers: who hashes other sets; their count is also the number of threads of the search.

    Raises:
        PrepError: an image has no fingerprint, or what was settled is lost.
        DatasetError: a table or another set cannot be read.
    """
    if not parameters.kinds:
        return None
    location = work / f"dropped-{_identity(required(work, 'resize'), parameters)}.parquet"
    if location.exists():
        table = read_columns(location, DROPPED_SCHEMA)
        return Dropped(table, _stored_counts(location, table))
    if against is None and Drop.AGAINST in parameters.kinds:
        raise PrepError(
            f"{location.text} is gone, which says what was dropped; write the dataset again with `in21k-prep shard`"
        )
    dropped = _Search(work, parameters, against or (), workers).dropped()
    counted = dropped.table.replace_schema_metadata({_COUNTED: json.dumps(dict(dropped.counts))})
    write_table(location, counted, checked=True)
    return dropped


def _identity(resized: StageRecord, parameters: DropParameters) -> str:
    stated = [resized.parameters, resized.inputs, resized.counts, asdict(parameters)]
    return hashlib.sha256(json.dumps(stated).encode()).hexdigest()[:16]


def _stored_counts(location: Location, table: pa.Table) -> Mapping[str, int]:
    try:
        counts: Mapping[str, int] = json.loads((table.schema.metadata or {})[_COUNTED])
        require_mapping("counts", counts, int)
    except (KeyError, ValueError) as error:
        raise PrepError(f"{location.text} is not as in21k-prep wrote it ({one_line(error)}); delete it") from error
    return counts


class _Search:
    """The images of all parts, and what is dropped of them."""

    def __init__(
        self,
        work: Location,
        parameters: DropParameters,
        against: Sequence[ListedSet | PreparedSet],
        workers: Workers,
    ) -> None:
        self._work, self._parameters, self._against = work, parameters, against
        self._parts = count_parts(work / PARTS)
        classes = Settlement.of(work, self._parts).classes
        parts = [read_part(work / PARTS, number, classes) for number in range(self._parts)]
        names = ["class_index", "rank", "split", "warned"]
        self._rows = pa.concat_tables(plain(part.select(names)) for part in parts)
        self._classes, self._ranks = (self._rows[name].to_numpy() for name in ("class_index", "rank"))
        self._found = Fingerprints.joined(
            [self._own_fingerprints(), *(images.hashed(workers)[0] for images in against)]
        )
        self._groups = group_images(self._found)
        self._near = find_near_groups(self._groups, self._found, parameters.distance, threads=workers.count)
        self._twins = Twins.none(len(self._classes))
        self._kinds = np.full(len(self._classes), -1)

    def dropped(self) -> Dropped:
        """Return what is dropped: first for other sets, then within classes, then, once val is settled, from train."""
        own, total = len(self._classes), len(self._found)
        if Drop.AGAINST in self._parameters.kinds:
            foreign = nearest_marked(self._groups, self._near, np.arange(total) >= own)
            self._drop(Drop.AGAINST, foreign, np.ones(own, np.bool_))
        if Drop.WITHIN_CLASS in self._parameters.kinds:
            alive = self._kinds < 0
            repeated = repeated_in_class(self._groups, self._near, self._classes, self._order(), alive)
            self._drop(Drop.WITHIN_CLASS, repeated, alive)
        is_train, is_val = self._settled()
        if Drop.TRAIN_VAL in self._parameters.kinds:
            held_out = np.zeros(total, np.bool_)
            held_out[:own] = is_val
            self._drop(Drop.TRAIN_VAL, nearest_marked(self._groups, self._near, held_out), is_train)
            is_train = is_train & (self._kinds < 0)
        return Dropped(self._table(), self._counts(is_train, is_val))

    def _table(self) -> pa.Table:
        reasons = [None if kind < 0 else _REASONS[list(Drop)[kind]] for kind in self._kinds.tolist()]
        codes = image_codes(self._classes, self._ranks)
        is_spare = np.asarray(self._rows["split"]) == PROVISIONAL[SPARE]
        return dropped_table(self._work, codes, reasons, self._twins, self._against, is_spare)

    def _own_fingerprints(self) -> Fingerprints:
        folder = self._work / PARTS
        parts = [Fingerprints.of_table(read_part_fingerprints(folder, number)) for number in range(self._parts)]
        if lost := sum(int((~known).sum()) for _, known in parts):
            raise PrepError(
                f"{self._work.text}: {lost:,} images have no hashes, since an older version resized them; use another "
                "work folder to drop duplicates"
            )
        return Fingerprints.joined([found for found, _ in parts])

    def _order(self) -> IntArray:
        """Return int64 [n]: who stays first: those that a list holds out, then by rank, and spares last."""
        split = np.asarray(self._rows["split"])
        is_given_val = split == "val" if self._has_given_split() else np.zeros(len(split), np.bool_)
        precedence = 2 * (split == PROVISIONAL[SPARE]) + ~is_given_val
        order: IntArray = precedence.astype(np.int64) << 32 | self._ranks.astype(np.int64)
        return order

    def _has_given_split(self) -> bool:
        filtered = required(self._work, "filter")
        return is_mixed(filtered) or has_given_split(filtered)

    def _drop(self, kind: Drop, twins: Twins, among: npt.NDArray[np.bool_]) -> None:
        """Drop those of some images that have a twin."""
        where = np.flatnonzero(among & (self._kinds < 0) & (twins.images[: len(among)] >= 0))
        self._kinds[where] = list(Drop).index(kind)
        self._twins.put(where, twins.images[where], twins.distances[where], twins.likeness[where])

    def _settled(self) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """Return two bool [n]: which images are train, and which val, without those that are dropped so far."""
        gone = self._kinds >= 0
        codes = np.sort(image_codes(self._classes[gone], self._ranks[gone]))
        return Settlement.of(self._work, self._parts, codes).train_and_val(self._rows)

    def _counts(self, is_train: npt.NDArray[np.bool_], is_val: npt.NDArray[np.bool_]) -> dict[str, int]:
        classes = Settlement.of(self._work, self._parts).classes
        val_per_class = int(required(self._work, "split").parameters["val_per_class"])
        of_class = np.bincount(self._classes[is_val], minlength=classes)
        return {
            "train": int(is_train.sum()),
            "val": int(is_val.sum()),
            "damaged_kept": int((self._rows["warned"].to_numpy() & (is_train | is_val)).sum()),
            "classes_short_of_val": int((of_class < val_per_class).sum()),
        }

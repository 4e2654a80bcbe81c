"""The search for duplicates: in a prepared dataset, and between it and other sets; it writes a table and a page."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from in21k.prep.duplicates.image_sets import open_prepared, open_set
from in21k.prep.duplicates.page import SHOWN, EvenChoice, Section, duplicates_page
from in21k.prep.duplicates.pairs import ImagePairs, image_pairs, large_groups
from in21k.prep.duplicates.parameters import SearchParameters
from in21k.prep.duplicates.search import CROWD
from in21k.prep.duplicates.table import DUPLICATES_SCHEMA, JoinedSets, Kind
from in21k.prep.duplicates.twins import (
    Groups,
    Likeness,
    NearGroups,
    find_near_groups,
    group_images,
    in_words,
)
from in21k.prep.errors import PrepError
from in21k.prep.executor import Workers
from in21k.shards_manifest.markers import DUPLICATES_PAGE, FolderKind, require_place_for
from in21k.shards_manifest.storage.location import Location, locate

TABLE = "duplicates.parquet"

_SECTIONS = {
    "train_val": "Across train and val",
    "against": "In other sets",
    "across_classes": "Across classes",
    "within_class": "Within a class",
}
"""The page's sections, by what is counted."""
_COUNTS = ("within_class", "across_classes", "train_val", "against", "same_file", "mirrored", "cropped")
_MOST_FINDINGS = 20
_NO_PATH = -1


def find_duplicates(
    dataset: Location, against: Sequence[Location], output: Path, parameters: SearchParameters, workers: Workers
) -> dict[str, Any]:
    """Write the pairs of twins in a dataset, and between it and other sets, and return the summary.

    Args:
        dataset: the prepared dataset; nothing is written there.
        against: prepared datasets, folders or tars of images.
        output: the folder for the table and the page.
        parameters: the user's choices.
        workers: who hashes images that have no hashes yet; their count is also the number of threads of the search.

    Raises:
        DatasetError: the dataset is damaged, a set holds no images, or the folder holds something else.
    """
    folder = locate(output)
    _require_place(folder, dataset)
    sets = JoinedSets(open_prepared(dataset), [open_set(other) for other in against])
    found, findings = sets.hashed(workers)
    groups = group_images(found)
    near = find_near_groups(groups, found, parameters.distance, parameters.crops, workers.count)
    findings += _findings(groups, near, sets)
    folder.make_folder()
    seen = _Seen(sets)
    with (folder / TABLE).write() as file, pq.ParquetWriter(file, DUPLICATES_SCHEMA, compression="zstd") as table:
        for pairs in image_pairs(groups, near):
            if len(concerned := sets.concerns(pairs)):
                rows = sets.table(concerned, found.digests)
                seen.add(concerned, rows)
                table.write_table(rows)
    sections = [*seen.sections(), *_largest(groups)]
    page = duplicates_page(f"Duplicates in {dataset.text}", sections, findings, sets)
    (folder / DUPLICATES_PAGE).write_bytes(page.encode())
    return {
        "images": len(sets.dataset),
        "other_images": int(sets.starts[-1]) - len(sets.dataset),
        **seen.counts,
        "images_with_twins": int(seen.has_twin.sum()),
        "findings": findings,
        "table": str(output / TABLE),
        "page": str(output / DUPLICATES_PAGE),
    }


def _require_place(folder: Location, dataset: Location) -> None:
    """Refuse a folder that lies in the dataset, which is complete as it is, or holds something else."""
    if (
        folder.is_local
        and dataset.is_local
        and Path(folder.path).resolve().is_relative_to(Path(dataset.path).resolve())
    ):
        raise PrepError(f"--output {folder.text} lies in the dataset {dataset.text}; give another folder")
    require_place_for(folder, FolderKind.REPORT, option="--output")


def _findings(groups: Groups, near: NearGroups, sets: JoinedSets) -> list[str]:
    """Return in words what the table does not spell out."""
    large = large_groups(groups)
    findings = [
        f"{groups.sizes[group]:,} images have the same hash as {sets.keys(groups.first[[group]])[0]}: the table holds "
        "their pairs with this one alone"
        for group in large[:_MOST_FINDINGS].tolist()
    ]
    if len(large) > _MOST_FINDINGS:
        findings.append(f"and {len(large) - _MOST_FINDINGS:,} more groups of images with one hash")
    if near.crowded:
        findings.append(
            f"{near.crowded:,} hashes agree in part with more than {CROWD:,} others, and were not compared with all"
        )
    return findings


def _largest(groups: Groups) -> list[Section]:
    """Return the section of the groups whose pairs are not spelled out; none if there are none."""
    large = large_groups(groups)[:SHOWN]
    if not len(large):
        return []
    how = [f"{size:,} images" for size in groups.sizes[large].tolist()]
    second = groups.members[groups.starts[large] + 1]
    return [Section("Large groups", "images with one hash", groups.first[large], second, how)]


class _Seen:
    """Counts of the pairs by kind, and those that the page shows."""

    def __init__(self, sets: JoinedSets) -> None:
        self.counts = dict.fromkeys(("pairs", *_COUNTS), 0)
        self.has_twin = np.zeros(len(sets.dataset), np.bool_)
        self._shown = {name: EvenChoice(SHOWN) for name in _SECTIONS}

    def add(self, pairs: ImagePairs, rows: pa.Table) -> None:
        """Take note of pairs and of their rows in the table."""
        train_val, same_file = (rows[name].to_numpy() for name in ("train_val", "same_file"))
        kinds = np.asarray(rows["kind"].cast(pa.string()))
        which = {kind.value.replace("-", "_"): kinds == kind.value for kind in Kind}
        which |= {"train_val": train_val, "same_file": same_file, "mirrored": pairs.likeness % 2 == 1}
        which |= {"cropped": pairs.likeness >= Likeness.CROPPED}
        self.counts["pairs"] += len(pairs)
        for name in _COUNTS:
            self.counts[name] += int(which[name].sum())
        for images in (pairs.first, pairs.second):
            self.has_twin[images[images < len(self.has_twin)]] = True
        tree = rows["tree_distance"].fill_null(_NO_PATH).to_numpy()
        facts = (pairs.first, pairs.second, pairs.distances, pairs.likeness, same_file, tree)
        for name, choice in self._shown.items():
            choice.add(*(column[which[name]] for column in facts))

    def sections(self) -> list[Section]:
        """Return the page's sections, without those that are empty."""
        return [self._section(name) for name in _SECTIONS if self._shown[name].seen]

    def _section(self, name: str) -> Section:
        choice = self._shown[name]
        first, second, *facts = choice.columns(6)
        how = [
            ", ".join(_how(distance, likeness, same_file, tree if name == "across_classes" else _NO_PATH))
            for distance, likeness, same_file, tree in zip(*(column.tolist() for column in facts), strict=True)
        ]
        note = f"{choice.seen:,} pairs" + (f", {len(how):,} of them shown" if len(how) < choice.seen else "")
        return Section(_SECTIONS[name], note, first, second, how)


def _how(distance: int, likeness: int, same_file: int, tree: int) -> list[str]:
    """Return in words how near and alike two twins are, and how far apart their classes."""
    words = ["same file" if same_file else in_words(distance, likeness)]
    return words + ([f"tree distance {tree}"] if tree != _NO_PATH else [])

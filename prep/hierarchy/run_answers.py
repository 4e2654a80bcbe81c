"""What a model says of a prepared dataset, read from what the trainer wrote, for the report."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from in21k.prep.errors import PrepError
from in21k.prep.hierarchy.thumbnails import SamplePlace, read_samples, small_picture
from in21k.shards_manifest.command.progress import Progress
from in21k.shards_manifest.errors import DamagedTableError, escaped
from in21k.shards_manifest.images.thumbnail import LARGEST, thumbnail_count
from in21k.shards_manifest.manifest import Manifest
from in21k.shards_manifest.prediction_tables import (
    PER_CLASS,
    PREDICTIONS,
    VAL_PREDICTIONS,
    ExpectedTables,
    Predictions,
    read_per_class,
    read_predictions,
)
from in21k.shards_manifest.sample_table import SampleTable
from in21k.shards_manifest.storage.local_files import is_missing
from in21k.shards_manifest.storage.location import Location, locate
from in21k.tree.explorer_data import FloatArray, Overlay, Picture
from in21k.tree.hierarchy import Hierarchy
from in21k.tree.model_overlay import MEASURES, ModelAnswers, images_to_show, model_overlay


def run_overlay(run: str, dataset: Location, manifest: Manifest, hierarchy: Hierarchy, budget: int) -> Overlay:
    """Return what a model says of a dataset's val split, as the explorer shows it.

    Args:
        run: the folder of `evaluate --output` or of a run that saved its predictions, or a table of predictions.
        dataset: that it was evaluated on.
        manifest: the dataset's.
        hierarchy: the dataset's.
        budget: bytes of all pictures together.

    Raises:
        PrepError: there are no predictions.
        DatasetError: the tables are damaged or of another dataset, or the dataset is damaged.
    """
    table = _predictions_of(run)
    digest = hashlib.sha256(manifest.to_json()).hexdigest()
    expected = ExpectedTables(digest, hierarchy.levels, manifest.samples("val"))
    said, per_class = read_predictions(table, expected), read_per_class(table.parent / PER_CLASS, expected)
    if not np.array_equal(np.bincount(said.classes, minlength=len(hierarchy)), per_class["images"].to_numpy()):
        raise DamagedTableError(f"{(table.parent / PER_CLASS).text} counts other images than those of {table.name}")
    answers = ModelAnswers(
        title=table.parent.name if table.name in (PREDICTIONS, VAL_PREDICTIONS) else table.name,
        model=said.model,
        images=per_class["images"].to_numpy().astype(np.float64),
        scores={column: _numbers(per_class, column) for column in MEASURES},
        classes=said.classes.astype(np.int64),
        guesses=said.guesses.astype(np.int64),
        confidences=said.guess_probabilities.astype(np.float64),
    )
    return model_overlay(answers, hierarchy, _pictures(dataset, manifest, said, answers, (table.text, budget)))


def _predictions_of(run: str) -> Location:
    """Return where the table of predictions is."""
    location = locate(run)
    if is_missing(run):
        raise PrepError(f"{run}: there is no such file or folder")
    if location.size() is not None:
        return location
    names = location.names()
    for name in (PREDICTIONS, VAL_PREDICTIONS):
        if name in names:
            return location / name
    raise PrepError(
        f"{run} has no {PREDICTIONS}: give the folder of `in21k-train evaluate --output FOLDER`, or the table of "
        "`--predictions FILE`"
    )


def _numbers(table: pa.Table, column: str) -> FloatArray:
    """Return float64 [C] of a column, NaN where it is null."""
    values: FloatArray = pc.fill_null(table[column], np.nan).to_numpy().astype(np.float64)
    return values


def _pictures(
    dataset: Location, manifest: Manifest, said: Predictions, answers: ModelAnswers, of: tuple[str, int]
) -> dict[int, list[Picture]]:
    """Return pictures of wrong and right images by true class; `of` is the table's name and the budget in bytes."""
    text, left = of
    count, side = thumbnail_count(int((answers.images > 0).sum()), left, manifest.images.size or LARGEST)
    rows = images_to_show(answers, count)
    row_of = {key.as_py(): row for key, row in zip(said.keys.take(pa.array(rows)), rows.tolist(), strict=True)}
    places = places_of_keys(dataset, manifest, list(row_of))
    for key, row in row_of.items():
        if key not in places or places[key].class_index != answers.classes[row]:
            raise DamagedTableError(
                f"{text} has the key {escaped(key)[:100]}, which is no val image of class {answers.classes[row]}"
            )
    rank = {row: at for at, row in enumerate(rows.tolist())}
    found: dict[int, list[tuple[int, Picture]]] = defaultdict(list)
    with Progress("pictures of the run", "picture", len(places)) as bar:
        for place, image in read_samples(dataset, manifest, list(places.values())):
            row = row_of[place.key]
            guess, probability = int(answers.guesses[row]), round(float(answers.confidences[row]), 4)
            picture = small_picture(manifest, place, image, side, guess=guess, probability=probability)
            if len(picture.image) <= left:
                found[place.class_index].append((rank[row], picture))
                left -= len(picture.image)
            bar.update()
    return {index: [picture for _, picture in sorted(some, key=lambda each: each[0])] for index, some in found.items()}


def places_of_keys(dataset: Location, manifest: Manifest, keys: Sequence[str]) -> dict[str, SamplePlace]:
    """Return where the val samples with these keys are; keys that there are none of are left out.

    Raises:
        DatasetError: the sample table is missing or damaged.
    """
    table, wanted = SampleTable(dataset, manifest), pa.array(keys, pa.string())
    places: dict[str, SamplePlace] = {}
    for shard in range(len(manifest.splits["val"])):
        found, index = table.keys_and_index("val", shard)
        at: npt.NDArray[np.int64] = np.flatnonzero(pc.is_in(found, wanted).to_numpy(zero_copy_only=False))
        columns = (index.class_indices[at], index.offsets[at], index.sizes[at])
        for key, *values in zip(
            found.take(pa.array(at)).to_pylist(), *(each.tolist() for each in columns), strict=True
        ):
            class_index, offset, size = values
            places[key] = SamplePlace(
                class_index=class_index, split="val", shard=shard, offset=offset, size=size, key=key
            )
    return places

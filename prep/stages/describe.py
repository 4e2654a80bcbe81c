"""The files beside the shards: hierarchy, classes, rejects and sidecars, and the manifest that lists them all."""

import json
import platform
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from in21k.prep.errors import PrepError
from in21k.prep.records import DATASET_CLASSES_SCHEMA, REJECTS_SCHEMA, Kept
from in21k.prep.stages import filter as filter_stage
from in21k.prep.stages import split as split_stage
from in21k.prep.stages.class_rows import read_class_rows
from in21k.prep.stages.drop import Dropped
from in21k.prep.stages.labels import work_taxonomy
from in21k.prep.stages.merge import IntArray
from in21k.prep.stages.parts import count_parts, read_part_rejects
from in21k.prep.stages.record import PARTS, StageRecord, required
from in21k.prep.stages.select import ImageSelection
from in21k.prep.stages.shard_files import ShardPlan
from in21k.prep.tables import write_table
from in21k.shards_manifest.errors import one_line, without_secrets
from in21k.shards_manifest.manifest import CLASSES, HIERARCHY, REJECTS, SAMPLES, Manifest, TableFile
from in21k.shards_manifest.parquet_table import read_columns
from in21k.shards_manifest.sidecars import write_sidecars
from in21k.shards_manifest.storage.location import Location
from in21k.tree.class_lists import class_list_digest
from in21k.tree.hierarchy import build_hierarchy
from in21k.tree.parents import ParentRule
from in21k.tree.table import named_table
from in21k.tree.taxonomy import Taxonomy, class_names

WORDNET_VERSION = "3.0"

SHARD_PARAMETERS = b"in21k.shard"
"""Key in the metadata of `classes.parquet` for the parameters of shard as JSON: for a repair without a manifest."""


def describe(
    work: Location,
    output: Location,
    stages: Mapping[str, StageRecord],
    parameters: Mapping[str, Any],
    plan: ShardPlan,
) -> Manifest:
    """Write the tables and sidecars of a dataset and return its manifest, which the caller writes last.

    Args:
        work: the work folder.
        output: the dataset, with all its shards and its sample table.
        stages: the records of filter, split and resize.
        parameters: those of shard.
        plan: the shards, all complete.
    """
    for name, table in dataset_tables(work, parameters, plan).items():
        write_table(output / name, table)
    classes = read_columns(output / CLASSES, DATASET_CLASSES_SCHEMA)
    wnids: list[str] = classes.filter(classes["kept"])["wnid"].to_pylist()
    filtered, resized = stages["filter"], stages["resize"]
    manifest = Manifest(
        classes=len(wnids),
        class_list_sha256=class_list_digest(wnids),
        source={
            "name": without_secrets(filtered.notes["raw"]).split("?")[0].rstrip("/").rpartition("/")[2],
            **filtered.inputs,
        },
        parameters={stage: dict(record.parameters) for stage, record in stages.items()} | {"shard": dict(parameters)},
        counts=_counts(stages, classes, read_columns(output / REJECTS, REJECTS_SCHEMA), plan.dropped),
        versions={
            "in21k": version("in21k"),
            "python": platform.python_version(),
            "pyarrow": pa.__version__,
            **({} if "taxonomy" in filtered.parameters else {"wordnet": WORDNET_VERSION}),
            **{name: found for name, found in resized.inputs.items() if not name.endswith(".parquet")},
        },
        splits=plan.shards(),
        tables={name: _table_file(output / name) for name in (HIERARCHY, CLASSES, SAMPLES, REJECTS)},
    )
    write_sidecars(output, manifest)
    return manifest


def dataset_tables(work: Location, parameters: Mapping[str, Any], plan: ShardPlan) -> dict[str, pa.Table]:
    """Return the tables of a dataset except the sample table, by file name.

    Args:
        work: the work folder.
        parameters: those of shard.
        plan: the shards.
    """
    classes = read_class_rows(work)
    wnids: list[str] = classes.filter(classes["kept"])["wnid"].to_pylist()
    train, val = (np.bincount(plan.orders[split].class_indices, minlength=len(wnids)) for split in ("train", "val"))
    taxonomy = work_taxonomy(work, ParentRule(parameters["parents"]))
    hierarchy = build_hierarchy(wnids, taxonomy.parent)
    rejects = _rejects(work, plan.dropped)
    described = _dataset_classes(classes, rejects, train, val, taxonomy)
    if not ImageSelection.of(required(work, "filter").parameters).thins_out:
        described = described.drop_columns("images_unselected")
    return {
        HIERARCHY: named_table(hierarchy, class_names(taxonomy, wnids), train, val),
        CLASSES: described.replace_schema_metadata({SHARD_PARAMETERS: json.dumps(dict(parameters))}),
        REJECTS: rejects,
    }


def stored_parameters(output: Location) -> Mapping[str, Any]:
    """Return the parameters of shard that `classes.parquet` stores, for a dataset whose manifest is lost.

    Raises:
        DatasetError: the table is missing or stores none.
    """
    location = output / CLASSES
    with location.open_input() as file:
        try:
            parameters: Mapping[str, Any] = json.loads((pq.read_schema(file).metadata or {})[SHARD_PARAMETERS])
        except (pa.ArrowException, OSError, KeyError, ValueError) as error:
            raise PrepError(f"{location.text} does not say how it was made ({one_line(error)})") from error
    return parameters


def _counts(
    stages: Mapping[str, StageRecord], classes: pa.Table, rejects: pa.Table, gone: Dropped | None
) -> dict[str, int]:
    filtered, resized = stages["filter"].counts, stages["resize"].counts if gone is None else gone.counts
    found = set(classes["reason"].to_pylist()) - {Kept.KEPT.value}
    own = (Kept.UNKNOWN_LABEL, Kept.ANCESTOR) if "taxonomy" in stages["filter"].parameters else (Kept.UNKNOWN_WNID,)
    dropped = {
        f"{what}_{reason.word}": count
        for reason in Kept
        if reason in (Kept.TOO_FEW_IMAGES, *own) or reason.value in found
        for what, count in _of_reason(classes, reason).items()
    }
    by_stage = rejects["stage"].to_pylist()
    return {
        "classes_raw": filtered["classes"],
        "images_raw": filtered["images"],
        **dropped,
        "classes_kept": filtered["classes_kept"],
        "images_kept": filtered["images_kept"],
        **{name: count for name, count in filtered.items() if name == "images_given_split"},
        "train": resized["train"],
        "val": resized["val"],
        "rejected": len(rejects),
        **{
            f"rejected_{stage}": by_stage.count(stage)
            for stage in ("filter", "split", "resize", *(("shard",) if gone else ()))
        },
        **_unselected(classes),
        "damaged_kept": resized["damaged_kept"],
        "classes_short_of_val": resized["classes_short_of_val"],
    }


def _unselected(classes: pa.Table) -> dict[str, int]:
    """Return the number of images that the selection left out; nothing where there was none."""
    column = classes["images_unselected"]
    return {} if column.null_count else {"images_unselected": sum(column.to_pylist())}


def _of_reason(classes: pa.Table, reason: Kept) -> dict[str, int]:
    """Return the number of classes that were not kept for a reason, and of their images."""
    chosen = classes.filter(pc.equal(classes["reason"], reason.value))
    return {"classes": len(chosen), "images": sum(chosen["images"].to_pylist())}


def _rejects(work: Location, dropped: Dropped | None) -> pa.Table:
    """Return the rejects of all stages, sorted by class and name."""
    folder = work / PARTS
    tables = [read_columns(work / name, REJECTS_SCHEMA) for name in (filter_stage.REJECTS, split_stage.REJECTS)]
    tables += [read_part_rejects(folder, number) for number in range(count_parts(folder))]
    tables += [] if dropped is None else [dropped.rejects]
    return pa.concat_tables(tables).sort_by([(name, "ascending") for name in REJECTS_SCHEMA.names])


def _dataset_classes(
    classes: pa.Table, rejects: pa.Table, train: IntArray, val: IntArray, taxonomy: Taxonomy
) -> pa.Table:
    """Return the work folder's class table with columns for what became of the images."""
    after_filter = rejects.filter(pc.not_equal(rejects["stage"], filter_stage.STAGE))
    counted = after_filter.group_by("wnid").aggregate([([], "count_all")]).to_pydict()
    rejected = dict(zip(counted["wnid"], counted["count_all"], strict=True))
    wnids = classes["wnid"].to_pylist()
    indices = classes["class_index"].to_numpy()
    counted_images = [np.where(indices >= 0, split[indices], 0) for split in (train, val)]
    lost = np.array([rejected.get(wnid, 0) for wnid in wnids], np.int64)
    columns = [
        [taxonomy.words(wnid)[0] if wnid in taxonomy else None for wnid in wnids],
        *counted_images,
        lost,
        np.where(
            pc.equal(classes["reason"], Kept.KEPT.value), classes["images"].to_numpy() - sum(counted_images) - lost, 0
        ),
    ]
    fields = list(DATASET_CLASSES_SCHEMA)[len(classes.schema) :]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, fields, strict=True)]
    return pa.Table.from_arrays([*classes.columns, *arrays], schema=DATASET_CLASSES_SCHEMA)


def _table_file(location: Location) -> TableFile:
    with location.open_input() as file:
        rows: int = pq.read_metadata(file).num_rows
    return TableFile(rows, location.size() or 0, location.sha256())

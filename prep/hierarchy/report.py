"""The report: a page for exploring the classes of a dataset or of a list, with its plots and samples."""

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from in21k.prep.errors import PrepError
from in21k.prep.hierarchy.repeats import repeated_files
from in21k.prep.hierarchy.run_answers import run_overlay
from in21k.prep.hierarchy.source import SourceHierarchy, dataset_tree, read_source
from in21k.prep.hierarchy.thumbnails import thumbnails
from in21k.prep.records import DATASET_CLASSES_SCHEMA, REJECTS_SCHEMA, Kept
from in21k.shards_manifest.manifest import CLASSES, MANIFEST, REJECTS, Manifest, read_manifest
from in21k.shards_manifest.markers import REPORT_PAGE as PAGE
from in21k.shards_manifest.markers import FolderKind, require_place_for
from in21k.shards_manifest.parquet_table import read_columns
from in21k.shards_manifest.storage.location import Location, locate
from in21k.tree.edges import read_edges
from in21k.tree.explorer import explorer_page
from in21k.tree.explorer_data import Census, DroppedClass
from in21k.tree.parents import ParentRule
from in21k.tree.taxonomy import EdgeTaxonomy, WordNet

_POLICY = b"default-src 'none'; img-src data:; style-src 'sha256-"
_HEAD = 4096


def write_report(
    source: str | None,
    output: Path,
    rule: ParentRule,
    edges: Path | None = None,
    budget: int = 12 << 20,
    run: str | None = None,
) -> dict[str, Any]:
    """Write the explorer page of a source to a folder, and return the summary.

    Args:
        source: the folder or URI of a prepared dataset, or any other source of `read_source`, which has no images.
        output: the folder to write to.
        rule: how a parent is chosen for a synset with several hypernyms; not used for a dataset, whose table is read.
        edges: a CSV of child and parent to use instead of WordNet.
        budget: the total size of the page's thumbnails, in bytes; half of it goes to the run's, if there is one.
        run: what a model says of the dataset, to be laid over it: see `run_overlay`.

    Raises:
        PrepError: the folder holds a page that is not ours, or the source is not of a known kind, or it has no
            images that a run could be of.
        DatasetError: the dataset is damaged.
        TreeError: the hierarchy is unusable.
    """
    folder = locate(output)
    require_place_for(folder, FolderKind.REPORT, option="--output")
    _require_own_page(folder)
    dataset = locate(source) if source is not None and edges is None else None
    if dataset is not None and dataset.child(MANIFEST).exists():
        found, page, shown = _dataset_page(dataset, budget, run)
    elif run is not None:
        raise PrepError(f"{source or edges} is no prepared dataset, which --run needs; leave it out")
    else:
        found = read_source(source, EdgeTaxonomy(read_edges(edges), rule) if edges else WordNet(rule))
        page = explorer_page(found.table, edges.name if edges is not None else Path(str(source)).name)
        shown = {"thumbnails": 0}
    content = page.encode()
    folder.make_folder()
    folder.child(PAGE).write_bytes(content)
    return {
        "classes": len(found.hierarchy),
        "levels": found.hierarchy.num_levels,
        **shown,
        "page_bytes": len(content),
        "page": str(output / PAGE),
    }


def _require_own_page(folder: Location) -> None:
    """Refuse to replace a page that is not one of ours, by the policy that each of ours begins with."""
    page = folder.child(PAGE)
    if not page.exists():
        return
    with page.open_input() as file:
        if _POLICY not in file.read(_HEAD):
            raise PrepError(f"{page.text} is not a page of in21k-prep report; give another --output")


def _dataset_page(dataset: Location, budget: int, run: str | None) -> tuple[SourceHierarchy, str, dict[str, int]]:
    """Return a dataset's hierarchy, its page, and what the summary says of the page's thumbnails."""
    manifest = read_manifest(dataset)
    found = dataset_tree(dataset, manifest)
    subtree = found.table["images_subtree"].to_numpy()
    overlay = run_overlay(run, dataset, manifest, found.hierarchy, budget // 2) if run is not None else None
    pictures, side = thumbnails(dataset, manifest, subtree, budget // 2 if overlay else budget)
    title = str(manifest.source.get("name", "dataset"))
    repeats = repeated_files(dataset, manifest)
    measures = [repeats] if repeats else []
    page = explorer_page(found.table, title, pictures, measures, _census(dataset, manifest), overlay)
    judged = {"judged_thumbnails": sum(map(len, overlay.pictures.values()))} if overlay else {}
    return found, page, {"thumbnails": sum(map(len, pictures.values())), **judged, "thumbnail_side": side}


def _census(dataset: Location, manifest: Manifest) -> Census:
    """Return what the tables say of the dump: files of each class, kept or dropped, and the rejects by reason."""
    classes, rejects = (
        read_columns(dataset / name, schema)
        for name, schema in ((CLASSES, DATASET_CLASSES_SCHEMA), (REJECTS, REJECTS_SCHEMA))
    )
    index_of: dict[str, int] = {}
    kept, dropped = np.full(manifest.classes, -1, np.int64), []
    columns = (classes[column].to_pylist() for column in ("wnid", "name", "reason", "class_index", "images"))
    for wnid, name, reason, index, images in zip(*columns, strict=True):
        if 0 <= index < len(kept):
            index_of[wnid] = index
            kept[index] = -1 if reason == Kept.ANCESTOR.value else images  # they have no files to count
        else:
            dropped.append(DroppedClass(wnid=wnid, name=name or "", files=images, reason=reason))
    return Census(
        min_images=int(manifest.parameters["filter"]["min_images"]),
        kept=kept,
        dropped=dropped,
        rejects=_rejects(rejects, index_of),
    )


def _rejects(rejects: pa.Table, index_of: dict[str, int]) -> list[tuple[str, str, int, dict[int, int]]]:
    """Return stage, reason, count and counts by class index, in order of stage and reason."""
    by_reason: dict[tuple[str, str], dict[int, int]] = defaultdict(dict)
    totals: dict[tuple[str, str], int] = defaultdict(int)
    for row in rejects.group_by(["stage", "reason", "wnid"]).aggregate([([], "count_all")]).to_pylist():
        kind, count = (row["stage"], row["reason"]), row["count_all"]
        totals[kind] += count
        if (index := index_of.get(row["wnid"])) is not None:
            by_reason[kind][index] = count
    return [(*kind, totals[kind], by_reason[kind]) for kind in sorted(totals)]

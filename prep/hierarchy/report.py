"""The report: plots of levels, counts and rejects, sheets of samples, and a page for exploring the classes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc

from in21k.prep.errors import PrepError
from in21k.prep.hierarchy.source import SourceHierarchy, dataset_tree, read_source
from in21k.prep.hierarchy.thumbnails import sheet_samples, thumbnails
from in21k.prep.records import DATASET_CLASSES_SCHEMA, REJECTS_SCHEMA, Kept
from in21k.shards_manifest.errors import escaped
from in21k.shards_manifest.manifest import CLASSES, MANIFEST, REJECTS, Manifest, read_manifest
from in21k.shards_manifest.markers import REPORT_PAGE as PAGE
from in21k.shards_manifest.markers import FolderKind, require_place_for
from in21k.shards_manifest.parquet_table import read_columns
from in21k.shards_manifest.storage.location import Location, locate
from in21k.tree.edges import read_edges
from in21k.tree.explorer import explorer_page
from in21k.tree.parents import ParentRule
from in21k.tree.plots import plot_images_per_class, plot_levels, plot_rejects, plot_samples, plot_val_per_class
from in21k.tree.taxonomy import EdgeTaxonomy, WordNet

SAMPLES_PER_LEVEL = 32

_CAPTIONS = {
    "levels.png": "Classes and images per level",
    "images-per-class.png": "Images per class before and after the filter",
    "val-per-class.png": "Validation images per class",
    "rejects.png": "Rejected, by reason",
}


def write_report(
    source: str | None, output: Path, rule: ParentRule, edges: Path | None = None, budget: int = 12 << 20
) -> dict[str, Any]:
    """Write the plots and the explorer page of a source to a folder, and return the summary.

    Args:
        source: the folder or URI of a prepared dataset, or any other source of `read_source`, which has no images.
        output: the folder to write to.
        rule: how a parent is chosen for a synset with several hypernyms; not used for a dataset, whose table is read.
        edges: a CSV of child and parent to use instead of WordNet.
        budget: the total size of the page's thumbnails, in bytes.

    Raises:
        PrepError: the source is not of a known kind.
        DatasetError: the dataset is damaged.
        TreeError: the hierarchy is unusable, or matplotlib is missing.
    """
    folder = locate(output)
    require_place_for(folder, FolderKind.REPORT, option="--output")
    dataset = locate(source) if source is not None and edges is None else None
    if dataset is not None and dataset.child(MANIFEST).exists():
        manifest = read_manifest(dataset)
        found = dataset_tree(dataset, manifest)
        plots = _dataset_plots(dataset, manifest, found)
        subtree = found.table["images_subtree"].to_numpy()
        pictures, side = thumbnails(dataset, manifest, subtree, budget)
        title = str(manifest.source.get("name", "dataset"))
    else:
        found = read_source(source, EdgeTaxonomy(read_edges(edges), rule) if edges else WordNet(rule))
        plots, pictures, side = {"levels.png": plot_levels(found.hierarchy, None)}, {}, 0
        title = edges.name if edges is not None else Path(str(source)).name
    shown = {_CAPTIONS[name]: image for name, image in plots.items() if name in _CAPTIONS}
    page = explorer_page(found.table, title, pictures, shown).encode()
    names = folder.names()
    for name in sorted(set(plots) & set(names)):
        if PAGE not in names:
            raise PrepError(f"{output} holds {name} and no {PAGE}; give another --output")
    folder.make_folder()
    for name, content in {PAGE: page, **plots}.items():  # the page first: it marks the folder
        folder.child(name).write_bytes(content)
    return {
        "classes": len(found.hierarchy),
        "levels": found.hierarchy.num_levels,
        "plots": len(plots),
        "thumbnails": sum(map(len, pictures.values())),
        **({"thumbnail_side": side} if side else {}),
        "page_bytes": len(page),
        "page": str(output / PAGE),
    }


def _dataset_plots(dataset: Location, manifest: Manifest, found: SourceHierarchy) -> dict[str, bytes]:
    """Return the plots of a dataset by file name."""
    classes, rejects = (
        read_columns(dataset / name, schema)
        for name, schema in ((CLASSES, DATASET_CLASSES_SCHEMA), (REJECTS, REJECTS_SCHEMA))
    )
    classes = classes.filter(pc.not_equal(classes["reason"], Kept.ANCESTOR.value))  # they have no images to count
    indices = classes.filter(classes["kept"])["class_index"].to_numpy()
    train, val = (found.table[name].to_numpy().astype(np.int64) for name in ("images_train", "images_val"))
    counted = rejects.group_by(["stage", "reason"]).aggregate([([], "count_all")]).to_pylist()
    reasons: Mapping[tuple[str, str], int] = {(row["stage"], row["reason"]): row["count_all"] for row in counted}
    plots = {
        "levels.png": plot_levels(found.hierarchy, train + val),
        "images-per-class.png": plot_images_per_class(
            classes["images"].to_numpy().astype(np.int64),
            classes["kept"].to_numpy().astype(np.bool_),
            (train + val)[indices],
            int(manifest.parameters["filter"]["min_images"]),
        ),
        "val-per-class.png": plot_val_per_class(val[indices]),
        "rejects.png": plot_rejects(reasons),
    }
    names = found.table["name"].to_pylist()
    for level, pictures in sheet_samples(dataset, manifest, found.hierarchy.levels, SAMPLES_PER_LEVEL).items():
        sheet = [(escaped(names[index]), picture) for index, picture in pictures]
        plots[f"samples-level-{level:02d}.png"] = plot_samples(level, sheet)
    return plots

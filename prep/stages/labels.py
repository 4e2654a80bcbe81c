"""The taxonomy of a work folder: what its labels are, noted by filter and looked up by the later stages."""

from collections.abc import Mapping
from tempfile import TemporaryDirectory
from typing import Any

from in21k.prep.errors import PrepError
from in21k.prep.raw.class_labels import ANY_NAMES, PATHS, WNIDS, ClassLabels
from in21k.prep.raw.open import open_raw
from in21k.prep.records import Kept
from in21k.prep.stages.class_rows import read_class_rows
from in21k.prep.stages.record import TAXONOMY, required
from in21k.prep.tables import write_table
from in21k.shards_manifest.parquet_table import read_columns
from in21k.shards_manifest.storage.location import Location, locate
from in21k.tree.edge_table import SCHEMA as EDGES_SCHEMA
from in21k.tree.edge_table import edge_table, edges_digest, edges_in
from in21k.tree.edges import edge_hierarchy
from in21k.tree.findings import Code, HierarchyFinding
from in21k.tree.parents import ParentRule
from in21k.tree.taxonomy import EdgeTaxonomy, FlatTaxonomy, FolderTaxonomy, Taxonomy, TaxonomyKind, WordNet


def class_labels(taxonomy: Taxonomy) -> ClassLabels:
    """Return how the folders and tars of a dump name the classes of a taxonomy."""
    match taxonomy.kind:
        case TaxonomyKind.WORDNET:
            return WNIDS
        case TaxonomyKind.EDGES:
            return ClassLabels(taxonomy.__contains__)
        case TaxonomyKind.FOLDERS:
            return PATHS
    return ANY_NAMES


def dump_labels(raw: Location, taxonomy: Taxonomy) -> list[str]:
    """Return the labels of the classes of a dump that have images, in byte order.

    Raises:
        DatasetError: it is no dump, or cannot be read.
    """
    with TemporaryDirectory() as work:
        dump = open_raw(raw, locate(work), class_labels(taxonomy))
        if dump.is_mixed:
            labels = {label for batch in dump.batches() for label in batch.wnids}
        else:
            labels = {found.wnid for found in dump.classes() if found.images}
    return sorted(labels - {""}, key=str.encode)


def taxonomy_parameters(taxonomy: Taxonomy) -> dict[str, Any]:
    """Return what filter's record says about a taxonomy; nothing for WordNet, so that its records stay as they were."""
    if taxonomy.kind is TaxonomyKind.WORDNET:
        return {}
    stored: dict[str, Any] = {"taxonomy": taxonomy.kind.value}
    if isinstance(taxonomy, EdgeTaxonomy):
        stored |= {"edges_sha256": edges_digest(taxonomy.edges), "parents": taxonomy.parent_rule.value}
    return stored


def write_taxonomy(taxonomy: Taxonomy, work: Location) -> tuple[str, ...]:
    """Write what the later stages need of a taxonomy to the work folder, and return the names of the files."""
    if not isinstance(taxonomy, EdgeTaxonomy):
        return ()
    write_table(work / TAXONOMY, edge_table(taxonomy.edges))
    return (TAXONOMY,)


def work_taxonomy(work: Location, rule: ParentRule = ParentRule.PUBLISHED) -> Taxonomy:
    """Return the taxonomy of a work folder.

    Args:
        work: the work folder, with `filter` done.
        rule: how a parent is chosen for a synset of WordNet with several hypernyms; edges have filter's own rule.

    Raises:
        PrepError: the record or the table of edges is damaged.
    """
    stored = required(work, "filter").parameters
    try:
        kind = TaxonomyKind(stored.get("taxonomy", TaxonomyKind.WORDNET))
        if kind is TaxonomyKind.EDGES:
            return _stored_edges(work, stored)
    except (ValueError, KeyError) as error:
        raise PrepError(
            f"{(work / 'filter.json').text} names no taxonomy ({error}); use another work folder"
        ) from error
    others: dict[TaxonomyKind, Taxonomy] = {TaxonomyKind.FOLDERS: FolderTaxonomy(), TaxonomyKind.FLAT: FlatTaxonomy()}
    return others.get(kind) or WordNet(rule)


def require_rule(work: Location, rule: ParentRule) -> ParentRule:
    """Return the rule by which the hierarchy of a work folder is made: with edges the one that filter had.

    Raises:
        PrepError: `rule` is another one, and not the default.
    """
    taxonomy = work_taxonomy(work, rule)
    stored = taxonomy.parent_rule if isinstance(taxonomy, EdgeTaxonomy) else rule
    if rule is not ParentRule.PUBLISHED and rule is not stored:
        raise PrepError(f"{work.text}: filter was done with --parents {stored.value}, not {rule.value}; give the same")
    return stored


def taxonomy_findings(work: Location) -> tuple[HierarchyFinding, ...]:
    """Return the findings about a work folder's edges and the labels that they lack; none without edges.

    Raises:
        PrepError: filter has not been done, or its tables are damaged.
    """
    taxonomy = work_taxonomy(work)
    if not isinstance(taxonomy, EdgeTaxonomy):
        return ()
    classes = read_class_rows(work).to_pylist()
    kept = [row["wnid"] for row in classes if row["kept"]]
    unknown = [row for row in classes if row["reason"] == Kept.UNKNOWN_LABEL.value]
    lacking = [
        HierarchyFinding(
            Code.UNKNOWN_LABEL, row["wnid"], f"{row['images']:,} images are dropped; {taxonomy.source} lacks it"
        )
        for row in unknown
    ]
    return (*lacking, *edge_hierarchy(taxonomy.edges, kept, taxonomy.parent_rule)[1])


def _stored_edges(work: Location, stored: Mapping[str, Any]) -> EdgeTaxonomy:
    location = work / TAXONOMY
    edges = edges_in(read_columns(location, EDGES_SCHEMA), location.text)
    if edges_digest(edges) != stored["edges_sha256"]:
        raise PrepError(f"{location.text} is not what filter wrote; use another work folder")
    return EdgeTaxonomy(edges, ParentRule(stored["parents"]))

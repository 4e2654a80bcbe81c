"""The hierarchy table alone, of a prepared dataset or of a list of wnids."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from in21k.prep.errors import PrepError
from in21k.prep.tables import write_table
from in21k.shards_manifest.files import locate
from in21k.shards_manifest.manifest import HIERARCHY, MANIFEST
from in21k.tree.parents import ParentRule
from in21k.tree.table import hierarchy_table, read_class_list, wordnet_hierarchy


def write_tree(source: str, output: Path, rule: ParentRule) -> dict[str, Any]:
    """Write the hierarchy table of a source and return its summary: classes, levels, classes a level.

    Args:
        source: the folder or URI of a prepared dataset, or a text file with a wnid a line.
        output: the Parquet file to write.
        rule: which hypernym of a synset with several is its parent.

    Raises:
        PrepError: the source is neither.
        TreeError: a class is unknown to WordNet 3.0 or listed twice.
    """
    location = locate(source)
    if location.child(MANIFEST).exists():
        listed = pq.read_table(location.child(HIERARCHY).open_input())
        wnids: list[str] = listed["wnid"].to_pylist()
        images = [listed[name].to_numpy() for name in ("images_train", "images_val")]
    elif location.exists():
        if not location.is_local:
            raise PrepError(f"{source}: a list of wnids must be a local file")
        wnids, images = read_class_list(Path(location.path)), [None, None]
    else:
        raise PrepError(
            f"{source}: no dataset and no file there; give a prepared dataset or a list of wnids, one a line"
        )
    hierarchy = wordnet_hierarchy(wnids, rule)
    write_table(output, hierarchy_table(hierarchy, rule, *images))
    sizes = hierarchy.level_sizes.tolist()
    return {
        "classes": len(hierarchy),
        "levels": hierarchy.num_levels,
        "classes_a_level": " ".join(map(str, sizes)),
        "table": str(output),
    }

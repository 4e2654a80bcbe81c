"""Synsets whose wnid or name begins as a text does, for shells to complete; of the table, only these become objects."""

from importlib import resources

import pyarrow as pa

from in21k.tree.glosses import definition
from in21k.tree.wordnet import TABLE

_LEAST_WNID, _LEAST_NAME = 4, 3
"""Letters of a wnid and of a name from which on synsets are found; all 82,000 would be too many."""

_MOST = 60
"""Synsets that are found by a name."""


def synsets_begun(begun: str) -> dict[str, str]:
    """Return what WordNet's synsets with a begun wnid or name are, as `name: definition`, by wnid.

    Those of a name are its own where it is whole, else those whose name begins so, the shortest first. Case does not
    count, nor does `_` for a blank.
    """
    import pyarrow.compute as pc

    text = begun.replace("_", " ").casefold()
    if len(text) < _LEAST_NAME:
        return {}
    table = _table()
    found = table.filter(pc.starts_with(table["wnid"], begun))
    if len(begun) < _LEAST_WNID or not len(found):
        found = table.filter(pc.starts_with(table["name"], text, ignore_case=True))
        whole = found.filter(pc.equal(pc.utf8_lower(found["name"]), text))
        order = pc.sort_indices(pc.utf8_length(found["name"]))
        found = whole if len(whole) else found.take(order)[:_MOST]
    rows = found.to_pylist()
    return {row["wnid"]: f"{row['name']}: {definition(row['gloss'])}" for row in rows}


def _table() -> pa.Table:
    """Return wnid, name and gloss of each synset."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    with resources.files("in21k.tree.data").joinpath(TABLE).open("rb") as file:
        table = pq.read_table(file, columns=["wnid", "lemmas", "gloss"])
    names = pc.list_element(table["lemmas"], 0)
    return table.select(["wnid", "gloss"]).append_column("name", names)

"""Glosses: what a class is, in WordNet's words. A gloss is a definition, and perhaps examples in quotation marks."""

import re

import pyarrow as pa

from in21k.tree.wordnet import WORDNET_SOURCE, load_wordnet

_EXAMPLES = re.compile(r'[;:,]\s*"')
"""Where the examples begin."""


def definition(gloss: str) -> str:
    """Return a gloss without its examples: `a tangible and visible entity; an entity that can cast a shadow`."""
    return _EXAMPLES.split(gloss, maxsplit=1)[0].rstrip("; ")


def glosses_of(table: pa.Table) -> list[str | None]:
    """Return the gloss of each class of a hierarchy table; of an older one that is WordNet's, those of WordNet.

    Args:
        table: with the columns `wnid` and, unless it is older, `gloss`, and with the metadata of the file.
    """
    if "gloss" in table.column_names and table["gloss"].null_count < len(table):
        glosses: list[str | None] = table["gloss"].to_pylist()
        return glosses
    if (table.schema.metadata or {}).get(b"in21k.source") != WORDNET_SOURCE.encode():
        return [None] * len(table)
    wordnet = load_wordnet()
    return [wordnet[wnid].gloss if wnid in wordnet else None for wnid in table["wnid"].to_pylist()]

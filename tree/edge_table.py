"""A file of edges as a Parquet table, which a work folder keeps, and the digest that identifies its content."""

import hashlib
import json

import pyarrow as pa

from in21k.tree.edges import EdgeList, edges_of
from in21k.tree.errors import TreeError

SCHEMA = pa.schema(
    [
        pa.field("label", pa.string(), nullable=False),
        pa.field("name", pa.string()),  # null where the file gives none
        pa.field("parents", pa.list_(pa.string()), nullable=False),  # all of them, in the file's order
        pa.field("gloss", pa.string()),  # likewise; left out where it gives none at all
    ]
)

_SOURCE = b"in21k.source"


def edge_table(edges: EdgeList) -> pa.Table:
    """Return the labels of an edge list, their names, parents and glosses, a row each, sorted."""
    said = [edges.names, edges.parents, *([edges.glosses] if edges.glosses else [])]
    columns = [edges.nodes, *([words.get(label) for label in edges.nodes] for words in said)]
    schema = pa.schema(list(SCHEMA)[: len(columns)], metadata={_SOURCE: edges.name.encode()})
    arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)


def edges_in(table: pa.Table, name: str) -> EdgeList:
    """Return the edge list in a table that `edge_table` made, without findings about the file's rows.

    Args:
        table: with the columns of SCHEMA.
        name: how to refer to it in errors.

    Raises:
        TreeError: it does not name the file of edges.
    """
    file = (table.schema.metadata or {}).get(_SOURCE)
    if file is None:
        raise TreeError(f"{name} does not name the file that its edges are from")
    columns = (table[column].to_pylist() for column in SCHEMA.names)
    rows = [
        (label, parent, called or "", gloss or "")
        for label, called, parents, gloss in zip(*columns, strict=True)
        for parent in parents or [""]
    ]
    return edges_of(rows, file.decode(), columns=4)


def edges_digest(edges: EdgeList) -> str:
    """Return the SHA-256 of the labels, names, parents and glosses in a file of edges, whatever its rows' order."""
    digest = hashlib.sha256()
    for label in edges.nodes:
        gloss = [edges.glosses[label]] if label in edges.glosses else []  # none: as before there were any
        digest.update(json.dumps([label, edges.names.get(label), edges.parents[label], *gloss]).encode() + b"\n")
    return digest.hexdigest()

"""The explorer: a hierarchy as one self-contained HTML page that opens from disk."""

import base64
import hashlib
import html
import json
import re
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from in21k.tree.explorer_data import Census, IntArray, Measure, Overlay, Picture, census_json
from in21k.tree.explorer_packing import Columns, packed, packed_labels, packed_texts
from in21k.tree.glosses import glosses_of

_UNREAD = re.compile(r"^ +(//.*\n)?|^//.*\n", re.MULTILINE)
"""Indentation and comments: an eighth of the script."""
_PLACEHOLDER = re.compile(r"\{\{([a-z]+)\}\}")

SCRIPTS = (
    "elements",
    "model",
    "measures",
    "search",
    "search-box",
    "state",
    "filter",
    "rows",
    "map-layout",
    "map-canvas",
    "map",
    "samples",
    "detail",
    "charts",
    "plots",
    "csv",
    "tools",
    "help",
    "tables",
    "first",
    "run",
    "unpack",
    "start",
)
"""The files of the page's script, `explorer-NAME.js`, in the order in which they are joined."""


def explorer_page(
    table: pa.Table,
    title: str,
    pictures: Mapping[int, Sequence[Picture]] | None = None,
    measures: Sequence[Measure] = (),
    census: Census | None = None,
    overlay: Overlay | None = None,
) -> str:
    """Return the HTML page of a hierarchy: map, tree, search, filters, samples and plots.

    The page loads nothing, which its content security policy enforces, and shows every name as plain text.

    Args:
        table: a hierarchy table.
        title: the page's title.
        pictures: samples by class index; not every class needs one.
        measures: further values per class.
        census: what the dump held, for the plots.
        overlay: what a model does on these classes.

    Raises:
        TreeError: a measure does not have a value per class.
    """
    style, script = _packaged("explorer.css"), _script()
    policy = f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {_hash(script)}"
    data = _columns(table)
    every = [*(overlay.measures if overlay else ()), *measures]
    columns = Columns()
    data["measures"] = [measure.to_json(len(table), columns) for measure in every]
    data["columns"] = columns.packed
    data["census"] = census_json(census, _images(table)) if census else None
    data["overlay"] = overlay.to_json() if overlay else None
    content = {
        "policy": policy,
        "title": html.escape(title),
        "style": style,
        "script": script,
        "data": packed(data),
        "thumbnails": _json(_pictures([pictures or {}, overlay.pictures if overlay else {}])),
    }
    return _PLACEHOLDER.sub(lambda match: content[match[1]], _packaged("explorer.html"))


def _script() -> str:
    """Return the page's whole script, in a scope of its own."""
    joined = "".join(_packaged(f"explorer-{name}.js") for name in SCRIPTS)
    return '(() => {\n"use strict";\n' + _UNREAD.sub("", joined) + "})();\n"


def _columns(table: pa.Table) -> dict[str, Any]:
    """Return the data for the page's script, which derives children, levels and sums from the parents."""
    columns = table.select(
        ["wnid", "name", "lemmas", "parent_index", "level", "images_train", "images_val", "active", "level_weight"]
    ).to_pydict()
    by_level = {
        level: (active, weight)
        for level, active, weight in zip(columns["level"], columns["active"], columns["level_weight"], strict=True)
    }
    metadata = {name.decode(): value.decode() for name, value in (table.schema.metadata or {}).items()}
    glosses = glosses_of(table)
    return {
        "source": metadata.get("in21k.source", ""),
        "rule": metadata.get("in21k.parents", ""),
        "wnids": packed_labels(columns["wnid"]),
        "names": packed_texts(columns["name"]),
        "lemmas": packed_texts([*map(_other_words, columns["lemmas"], columns["name"])]),
        "glosses": packed_texts([gloss or "" for gloss in glosses]) if any(glosses) else None,
        "parents": columns["parent_index"],
        "train": columns["images_train"],
        "val": columns["images_val"],
        "active": [by_level[level][0] for level in sorted(by_level)],
        "weights": [by_level[level][1] for level in sorted(by_level)],
    }


def _other_words(words: Sequence[str], name: str) -> str:
    """Return the lemmas of a class that are not its name, with tabs between them."""
    return "\t".join(re.sub(r"\s", " ", word) for word in words if word != name)


def _images(table: pa.Table) -> IntArray:
    """Return int64 [C], the images of each class."""
    counts: IntArray = pc.add(table["images_train"], table["images_val"]).to_numpy().astype(np.int64)
    return counts


def _pictures(groups: Sequence[Mapping[int, Sequence[Picture]]]) -> dict[str, Any]:
    """Return the pictures as the script reads them: those of the dataset, and those that a model was asked about.

    A picture is its key, the position of its shard in `shards`, its JPEG and, of a model's, guess and probability.
    """
    shards: dict[tuple[str, str], int] = {}

    def record(picture: Picture) -> list[Any]:
        shard = shards.setdefault((picture.split, picture.shard), len(shards))
        answer = [] if picture.guess < 0 else [picture.guess, picture.probability]
        return [picture.key, shard, _base64(picture.image), *answer]

    classes, judged = (
        {str(index): [record(picture) for picture in group[index]] for index in sorted(group)} for group in groups
    )
    return {"shards": [[*shard] for shard in shards], "classes": classes, "judged": judged}


def _json(value: Any) -> str:
    """Return JSON that cannot end the script element it is embedded in."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def _hash(inline: str) -> str:
    """Return the content security policy's source expression for an inline script or style."""
    return f"'sha256-{_base64(hashlib.sha256(inline.encode()).digest())}'"


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _packaged(name: str) -> str:
    return resources.files("in21k.tree.data").joinpath(name).read_text(encoding="utf-8")

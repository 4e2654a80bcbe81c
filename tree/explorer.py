"""The explorer: a hierarchy as one self-contained HTML page that opens from disk."""

import base64
import hashlib
import html
import json
import re
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

import pyarrow as pa

_PLACEHOLDER = re.compile(r"\{\{([a-z]+)\}\}")


def explorer_page(
    table: pa.Table,
    title: str,
    thumbnails: Mapping[int, Sequence[bytes]] | None = None,
    plots: Mapping[str, bytes] | None = None,
) -> str:
    """Return the HTML page of a hierarchy: the tree, a search box, counts and samples of each class, and plots.

    The page loads nothing, which its content security policy enforces, and shows every name as plain text.

    Args:
        table: a hierarchy table.
        title: the page's title.
        thumbnails: JPEGs by class index; not every class needs one.
        plots: PNGs by caption.
    """
    style, script = _packaged("explorer.css"), _packaged("explorer-model.js") + _packaged("explorer.js")
    policy = f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {_hash(script)}"
    pictures = {str(index): [_base64(image) for image in images] for index, images in (thumbnails or {}).items()}
    content = {
        "policy": policy,
        "title": html.escape(title),
        "style": style,
        "script": script,
        "data": _json(_columns(table)),
        "thumbnails": _json(pictures),
        "plots": "".join(_figure(caption, image) for caption, image in (plots or {}).items()),
    }
    return _PLACEHOLDER.sub(lambda match: content[match[1]], _packaged("explorer.html"))


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
    return {
        "source": metadata.get("in21k.source", ""),
        "rule": metadata.get("in21k.parents", ""),
        "wnids": columns["wnid"],
        "names": columns["name"],
        "lemmas": [
            [word for word in words if word != name]
            for words, name in zip(columns["lemmas"], columns["name"], strict=True)
        ],
        "parents": columns["parent_index"],
        "train": columns["images_train"],
        "val": columns["images_val"],
        "active": [by_level[level][0] for level in sorted(by_level)],
        "weights": [by_level[level][1] for level in sorted(by_level)],
    }


def _figure(caption: str, image: bytes) -> str:
    return f'<figure><img alt="{html.escape(caption)}" src="data:image/png;base64,{_base64(image)}"></figure>'


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

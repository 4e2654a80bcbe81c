"""Pages of the explorer to try in a browser, and how their data are read back."""

import base64
import io
import json
import re
import zlib
from dataclasses import replace
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from in21k.tree.class_lists import PublishedList, published_class_list
from in21k.tree.class_names import edge_class_names
from in21k.tree.edges import edge_hierarchy, edges_of
from in21k.tree.explorer import explorer_page
from in21k.tree.explorer_data import Better, Census, DroppedClass, Measure, MeasureKind, Overlay, Picture
from in21k.tree.explorer_packing import SHARE_STEPS
from in21k.tree.model_overlay import MEASURES, ModelAnswers, model_overlay
from in21k.tree.parents import ParentRule
from in21k.tree.table import hierarchy_table, named_table, wordnet_hierarchy

DOG, SPITZ, SAMOYED, SWAN = "n02084071", "n02111626", "n02111889", "n01858441"
TRUNCATED = 7
"""Files of Samoyeds that were rejected."""

HOSTILE_NAMES = (
    "</script><script>window.broken = 1</script>",
    "\"><img src=x onerror='window.broken = 1'>",
    "\u2028`${window.broken = 1}`<!--<script>{{data}}\\",
    "\u202egnp.tac\u202c \u05e9\u05dc\u05d5\u05dd",
    "long " * 1000 + "x" * 5000,
    "__proto__",
)
"""Names, keys and titles of those who want to break a page: markup, scripts, other directions, 10,000 characters."""

ROWS = "[...document.querySelectorAll('#tree [role=treeitem]')]"
NAMES = f"{ROWS}.map(item => item.querySelector('.name').textContent)"
ACTIVE = "document.getElementById(document.getElementById('tree').getAttribute('aria-activedescendant'))"
SELECTED = "document.querySelector('#tree [aria-selected=true] .name')?.textContent"
PATH = "[...document.querySelectorAll('.path li')].slice(1).map(step => step.textContent).join(' > ')"
TITLE = "document.getElementById('class-name').textContent"
FACTS = (
    "Object.fromEntries([...document.querySelectorAll('.facts div')]"
    ".map(fact => [fact.firstChild.textContent, fact.lastChild.textContent]))"
)
READY = "document.documentElement.dataset.ready === 'all'"


def data_of(page: str) -> dict[str, Any]:
    """Return the data that a page holds for its script, as the script restores them."""
    held = re.search(r'id="data">(.*?)</script>', page, re.DOTALL)[1].replace(",", "<")
    data = json.loads(zlib.decompress(base64.b85decode(held)))
    for name in ("wnids", "names", "glosses"):
        data[name] = _texts(data[name])
    data["lemmas"] = [words.split("\t") if words else [] for words in _texts(data["lemmas"])]
    for measure in data["measures"]:
        if measure["kind"] == MeasureKind.SHARE:
            measure["values"] = [None if steps is None else steps / SHARE_STEPS for steps in measure["values"]]
        if "weights" in measure:
            measure["weights"] = data["columns"][measure["weights"]]
    if data["census"]:
        _restore(data["census"], [train + val for train, val in zip(data["train"], data["val"], strict=True)])
    if data["overlay"]:
        truths, guesses, images = data["overlay"]["pairs"].values()
        pairs = zip(accumulate(truths), guesses, images, strict=True)
        data["overlay"]["pairs"] = sorted(
            ([at, at + more, count] for at, more, count in pairs), key=lambda row: -row[2]
        )
    return data


def _texts(held: Any) -> Any:
    if isinstance(held, str):
        return held.split("\n")
    return [f"n{offset:08d}" for offset in accumulate(held)] if held and isinstance(held[0], int) else held


def _restore(census: dict[str, Any], images: list[int]) -> None:
    """Restore a census where it is."""
    dropped = census["dropped"]
    dropped["wnids"], dropped["names"] = _texts(dropped["wnids"]), _texts(dropped["names"])
    dropped["reasons"] = [census["reasons"][at] for at in dropped["reasons"]]
    order = sorted(range(len(dropped["wnids"])), key=lambda at: (-dropped["files"][at], dropped["wnids"][at]))
    census["dropped"] = {name: [column[at] for at in order] for name, column in dropped.items()}
    census["kept"] = [count + more for count, more in zip(images, census["kept"], strict=True)]
    census["rejects"] = [
        [*row, [*zip(accumulate(steps), counts, strict=True)]] for *row, steps, counts in census["rejects"]
    ]


def pictures_of(page: str) -> dict[str, Any]:
    """Return the pictures that a page holds."""
    return json.loads(re.search(r'id="thumbnails">(.*?)</script>', page, re.DOTALL)[1])


def picture(key: str, color: str = "teal", **answer: Any) -> Picture:
    """Return a picture of one color."""
    encoded = io.BytesIO()
    Image.new("RGB", (32, 32), color).save(encoded, "JPEG")
    return Picture(image=encoded.getvalue(), key=key, split="val", shard="val/in21k-val-000000.tar", **answer)


@cache
def full_table() -> Any:
    """Return the table of all 11,221 classes, with images."""
    hierarchy = wordnet_hierarchy(published_class_list(PublishedList.FALL11))
    train = np.arange(len(hierarchy), dtype=np.int64) % 1000 + 450
    return hierarchy_table(hierarchy, ParentRule.PUBLISHED, train, np.full(len(hierarchy), 50, np.int64))


def full_page(table: Any) -> str:
    """Return the page of that table, with samples of two classes, rejects, and dropped classes."""
    index = {wnid: at for at, wnid in enumerate(table["wnid"].to_pylist())}
    pictures = {
        index[SAMOYED]: [picture(f"{SAMOYED}_{at}") for at in range(3)],
        index[DOG]: [picture(f"{DOG}_0", "navy")],
    }
    census = Census(
        min_images=500,
        kept=np.full(len(table), 600, np.int64),
        dropped=[
            DroppedClass(wnid=f"n0000000{at}", name=name, files=499 - at, reason="too-few-images")
            for at, name in enumerate(("quokka", "numbat", "<i>bilby</i>"))
        ],
        rejects=[
            ("filter", "not-a-class-tar", 2, {}),
            ("resize", "truncated", TRUNCATED + 1, {index[SAMOYED]: TRUNCATED, index[SWAN]: 1}),
            ("shard", "duplicate-within-class", 3, {index[DOG]: 3}),
        ],
    )
    return explorer_page(table, "fall11-p", pictures, census=census)


def few_page() -> str:
    """Return a page of a few classes whose names are hostile."""
    rows = [("<b>child</b>", "<script>document.title = 'broken'</script>"), ("50 % # é", ""), ("=1+1", "50 % # é")]
    edges = edges_of(rows, "e.csv")
    few, _ = edge_hierarchy(edges)
    return explorer_page(named_table(few, edge_class_names(few.wnids, edges.parents, edges.name)), "few")


def heavy_page() -> str:
    """Return a page whose samples take 20 MB, so that they are still being read when its tree is drawn."""
    edges = edges_of([("cat", "animal"), ("dog", "animal")], "pets.csv")
    few, _ = edge_hierarchy(edges)
    table = named_table(few, edge_class_names(few.wnids, edges.parents, edges.name), np.array([9, 9, 9]))
    heavy = [replace(one, image=one.image + bytes(1_500_000)) for one in (picture(f"cat_{at}") for at in range(10))]
    return explorer_page(table, "pets", {1: heavy})


def overlaid_page() -> str:
    """Return a page of three classes with what a model says of them."""
    edges = edges_of([("cat", "animal"), ("dog", "animal")], "pets.csv")
    few, _ = edge_hierarchy(edges)
    table = named_table(few, edge_class_names(few.wnids, edges.parents, edges.name), np.array([9, 9, 9]))
    accuracy = Measure(
        name="top-1 accuracy",
        kind=MeasureKind.SHARE,
        values=np.array([np.nan, 0.25, 0.75]),
        better=Better.HIGH,
        weights=np.array([0.0, 10.0, 30.0]),
    )
    judged = {1: [picture("cat_1", guess=2, probability=0.8), picture("cat_2", guess=1, probability=0.5)]}
    return explorer_page(table, "pets", overlay=Overlay(title="run1", measures=[accuracy], pictures=judged))


def hostile_page() -> str:
    """Return a page whose title, names, glosses, keys, shards and model come from someone who wants to break it."""
    rows = [(name, HOSTILE_NAMES[0]) for name in HOSTILE_NAMES[1:]]
    edges = edges_of(rows, HOSTILE_NAMES[1])
    few, _ = edge_hierarchy(edges)
    named = edge_class_names(few.wnids, edges.parents, edges.name)
    lemmas = [(name, *HOSTILE_NAMES) for name in few.wnids]
    count = np.full(len(few), 9)
    table = named_table(few, replace(named, lemmas=lemmas, glosses=[*reversed(few.wnids)]), count, count)
    judged = {
        index: [replace(picture(name, guess=0, probability=0.9), shard=name)] for index, name in enumerate(few.wnids)
    }
    answers = ModelAnswers(
        title=HOSTILE_NAMES[2],
        model=HOSTILE_NAMES[0],
        images=np.full(len(few), 9.0),
        scores={column: np.linspace(0, 1, len(few)) for column in MEASURES},
        classes=np.arange(len(few)),
        guesses=np.zeros(len(few), np.int64),
        confidences=np.full(len(few), 0.9),
    )
    census = Census(
        min_images=10,
        kept=count,
        dropped=[DroppedClass(wnid=f"lost {name}", name=name, files=1, reason=name) for name in HOSTILE_NAMES],
        rejects=[("resize", name, 2, {0: 1}) for name in HOSTILE_NAMES],
    )
    return explorer_page(table, HOSTILE_NAMES[1], judged, census=census, overlay=model_overlay(answers, few, judged))


def write_pages(folder: Path) -> dict[str, Any]:
    """Write the pages to a folder, and return their URLs and the table of the large one."""
    table = full_table()
    pages = {"full": full_page(table), "few": few_page(), "overlaid": overlaid_page(), "heavy": heavy_page()}
    pages["hostile"] = hostile_page()
    for name, page in pages.items():
        (folder / f"{name}.html").write_text(page, "utf-8")
    return {"table": table} | {name: f"file://{folder}/{name}.html" for name in pages}

"""The sheet of a retrieval: some queries with their best answers, as one HTML file that loads nothing else."""

import base64
import hashlib
import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import numpy as np

from in21k.shards_manifest.errors import escaped, one_line
from in21k.train.arrays import IntArray
from in21k.train.retrieval.pictures import SIDE, Pictures, thumbnail
from in21k.train.retrieval.scores import QueryScores

MOST = 500
"""Queries of a sheet, each of about 40 kB."""

WORST, EVEN = "worst", "even"

_STYLE = f"""
:root {{ color-scheme: light dark }}
body {{ font: 14px/1.4 system-ui, sans-serif; margin: 2em auto; max-width: 1500px; padding: 0 1em }}
body {{ color: #222; background: #fff }}
h1 {{ font-size: 1.4em }}
h1, p {{ overflow-wrap: anywhere }}
p, small {{ color: #666 }}
section {{ display: flex; gap: 14px; padding: 10px 0; border-top: 1px solid #ddd }}
section > div {{ display: flex; flex-wrap: wrap; gap: 10px }}
figure {{ flex: none; margin: 0; padding: 4px; width: {SIDE + 8}px; border: 3px solid transparent; border-radius: 6px }}
figure.query {{ border-color: #888; align-self: flex-start }}
figure.right {{ border-color: #1a8f3c }}
figure.wrong {{ border-color: #d23b2f }}
figure div {{ height: {SIDE}px; display: flex; align-items: center; justify-content: center }}
figcaption {{ font-size: 11px; overflow-wrap: anywhere }}
@media (prefers-color-scheme: dark) {{
  body {{ color: #ddd; background: #1b1b1b }}
  p, small {{ color: #999 }}
  section {{ border-color: #444 }}
  figure.right {{ border-color: #3fbf67 }}
  figure.wrong {{ border-color: #ef6a5e }}
}}
"""


@dataclass(frozen=True, eq=False)
class Shown:
    """What a sheet shows."""

    queries: IntArray
    """int64 [Q], images: the queries that decode."""
    gallery: IntArray
    """int64 [G], images."""
    groups: IntArray
    """int64 [N]: of all images."""
    names: Sequence[str]
    """Of the groups."""
    titles: Sequence[str]
    """Of the groups, where they are classes: what to call them; else empty."""
    keys: Any
    """A pyarrow string column [N]."""
    scores: QueryScores


def chosen_queries(scores: QueryScores, count: int, order: str) -> IntArray:
    """Return which queries to show, the worst first: int64 [n].

    Args:
        scores: those without a relevant image are not shown.
        count: queries at most.
        order: `WORST` for those of the least average precision, `EVEN` for a spread over all of them.
    """
    scored = np.flatnonzero(scores.is_scored)
    ranked = scored[np.argsort(scores.precision[scored], kind="stable")]
    if order == EVEN and len(ranked) > count:
        return ranked[np.unique(np.linspace(0, len(ranked) - 1, count).astype(np.int64))]
    return ranked[:count]


def sheet(title: str, notes: Iterable[str], shown: Shown, chosen: IntArray, pictures: Pictures) -> str:
    """Return the HTML page: a line per query, each answer framed by whether it is relevant.

    Args:
        title: the heading.
        notes: lines below it.
        shown: queries, gallery and answers.
        chosen: int64 [n]: which queries, in this order.
        pictures: where the images are.
    """
    used = {int(shown.queries[query]) for query in chosen.tolist()}
    used |= {int(shown.gallery[place]) for place in shown.scores.best[chosen].ravel().tolist() if place >= 0}
    read = pictures.read(sorted(used))
    small = {number: thumbnail(read.get(number)) for number in sorted(used)}
    digest = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode("ascii")
    heading = html.escape(escaped(title))
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{heading}</title>'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; '
        f"style-src 'sha256-{digest}'\"><style>{_STYLE}</style></head><body><h1>{heading}</h1>"
        + "".join(f"<p>{html.escape(escaped(note))}</p>" for note in notes)
        + "".join(_line(shown, query, small) for query in chosen.tolist())
        + "</body></html>\n"
    )


def _line(shown: Shown, query: int, small: Mapping[int, str]) -> str:
    scores, image = shown.scores, int(shown.queries[query])
    group = int(shown.groups[image])
    about = f"average precision {scores.precision[query]:.3f}, {scores.relevant[query]} relevant, "
    about += f"the first at {scores.first[query] + 1}"
    if not shown.titles:
        about = f"{one_line(shown.names[group])}: {about}"
    asked = _figure("query", small[image], about, shown, image)
    figures = []
    for place, cosine in zip(scores.best[query].tolist(), scores.similarities[query].tolist(), strict=True):
        if place >= 0:
            answer = int(shown.gallery[place])
            kind, word = ("right", "✓") if shown.groups[answer] == group else ("wrong", "✗")
            figures.append(_figure(kind, small[answer], f"{word} {cosine:.3f}", shown, answer))
    return f"<section>{asked}<div>{''.join(figures)}</div></section>"


def _figure(kind: str, picture: str, about: str, shown: Shown, image: int) -> str:
    """Return an image with its class, if images have one, or else with its name; and what is to be said of it."""
    lines = [PurePath(shown.keys[image].as_py()).name, about]
    if shown.titles and (group := int(shown.groups[image])) >= 0:
        lines = [shown.titles[group], about, lines[0]]
    first, *others = (html.escape(one_line(line)) for line in lines)
    return (
        f'<figure class="{kind}"><div>{picture}</div><figcaption>{first}<br><small>{"<br>".join(others)}</small>'
        "</figcaption></figure>"
    )

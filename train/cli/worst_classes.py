"""How an evaluation's worst classes are printed: as a table below the summary, or within its JSON."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from in21k.shards_manifest.errors import escaped
from in21k.train.cli.shared import print_summary

_LONGEST = 40


def print_with_worst(summary: Mapping[str, Any] | None, as_json: bool) -> None:
    """Print the summary of an evaluation and its worst classes; ranks other than the first print nothing."""
    if summary is None or as_json or "worst_classes" not in summary:
        print_summary(summary, as_json)
        return
    print_summary({key: value for key, value in summary.items() if key != "worst_classes"}, as_json)
    for line in _table(summary["worst_classes"]):
        click.echo(line)


def _table(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if not rows:
        return
    is_single = "top1" in rows[0]
    heads = ("images", "top-1", "taken for") if is_single else ("images", "average precision", "recall")
    lines = [("worst classes", *heads), *((_name(row), f"{row['images']:,}", *_scores(row)) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    yield ""
    for name, *others in lines:
        last = others[-1] if is_single else others[-1].rjust(widths[-1])
        cells = [text.rjust(width) for text, width in zip(others[:-1], widths[1:], strict=False)]
        yield "  ".join([name.ljust(widths[0]), *cells, last]).rstrip()


def _scores(row: Mapping[str, Any]) -> tuple[str, str]:
    if "top1" not in row:
        return _percent(row["average_precision"]), _percent(row["recall"])
    other = row["confused_with_name"]
    return _percent(row["top1"]), f"{_short(other)} ({_percent(row['confused_share'])})" if other else ""


def _name(row: Mapping[str, Any]) -> str:
    name, wnid = _short(row["name"]), _short(row["wnid"])
    return name if name == wnid else f"{name} ({wnid})"


def _short(text: str) -> str:
    shown = escaped(text)
    return shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST - 1]}…"


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f} %"

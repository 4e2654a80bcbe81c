"""The Markdown and the JSON of all results."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from gpu.check import FAILED, PASSED, SKIPPED, Result

TRIED = "Tried on a CPU at small sizes, to try the check itself: the figures are not measurements."


def markdown(machine: Mapping[str, str], results: Sequence[Result], *, on_gpu: bool) -> str:
    """Return the results as Markdown: the machine, a row per check, a row per figure.

    Args:
        machine: what the checks ran on, by its name.
        results: of all checks.
        on_gpu: whether the figures count.
    """
    parts = [", ".join(f"{name} {value}" for name, value in machine.items()) + "."]
    if not on_gpu:
        parts.append(TRIED)
    rows = [[each.name, each.status, f"{each.seconds:.0f}", each.note] for each in results]
    parts.append(_table(["check", "result", "seconds", "what was seen"], rows))
    figures = [
        [name, value if on_gpu else f"{value} (tried)"] for each in results for name, value in each.figures.items()
    ]
    if figures:
        parts.append(_table(["figure", "measured" if on_gpu else "tried, not a measurement"], figures))
    return "\n\n".join([*parts, summary(results)]) + "\n"


def summary(results: Sequence[Result]) -> str:
    """Return the sum of all results, in a line."""
    counts = [f"{sum(each.status == status for each in results)} {status}" for status in (PASSED, FAILED, SKIPPED)]
    return f"{len(results)} checks: {', '.join(counts)}."


def as_json(machine: Mapping[str, str], results: Sequence[Result]) -> str:
    """Return the results as JSON."""
    record: dict[str, Any] = {"machine": dict(machine), "checks": [asdict(each) for each in results]}
    return json.dumps(record, indent=1)


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [titles, ["---"] * len(titles), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)

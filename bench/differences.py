"""How far labels of a benchmark differ on the same test images: a paired bootstrap, narrower than two intervals.

    python bench/differences.py BENCHMARK [--output FILE]

BENCHMARK is a folder of `in21k-train benchmark`. For each task and pair of labels the script prints the difference of
their mean scores, in points, and its 95 % interval over the test images, which are drawn once for both. Tasks whose
score is no mean over images (mAP of several labels) are left out. The spread over seeds is not in it.
"""

import argparse
import json
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from in21k.train.benchmark.bootstrap import LEVEL, drawn_means
from in21k.train.benchmark.kinds import KINDS
from in21k.train.benchmark.outcomes import ImageScores


def main() -> None:
    """Print the table, and write it as JSON if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("benchmark", type=Path)
    parser.add_argument("--output", type=Path, help="a JSON file")
    options = parser.parse_args()
    rows = differences(options.benchmark)
    print("| task | labels | difference | interval |")
    print("|---|---|---|---|")
    for row in rows:
        pair = f"{row['label']} − {row['other']}"
        print(f"| {row['task']} | {pair} | {row['difference']:+.1f} | {row['low']:+.1f} to {row['high']:+.1f} |")
    if options.output is not None:
        options.output.write_text(json.dumps(rows, indent=1) + "\n")


def differences(folder: Path) -> list[dict[str, Any]]:
    """Return a row for each task and pair of labels, in points of percent."""
    runs = json.loads((folder / "benchmark.json").read_text())["runs"]
    rows = []
    for task in dict.fromkeys(run["task"] for run in runs):
        found = said(folder, [run for run in runs if run["task"] == task])
        if len({tuple(each.keys) for own in found.values() for each in own}) > 1:
            raise SystemExit(f"{folder}: the runs of {task} do not have the same test images")
        scores = {label: np.mean([each.values for each in own], axis=0) for label, own in found.items()}
        for label, other in combinations(scores, 2):
            gained = 100 * (scores[label] - scores[other])
            ends = np.quantile(drawn_means(gained, np.random.default_rng(0)), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
            drawn = {"difference": float(gained.mean()), "low": float(ends[0]), "high": float(ends[1])}
            rows.append({"task": task, "label": label, "other": other, **drawn})
    return rows


def said(folder: Path, runs: list[dict[str, Any]]) -> dict[str, list[ImageScores]]:
    """Return what the runs of a task say of each image, by label; nothing where the score is no mean over images."""
    found: dict[str, list[ImageScores]] = {}
    for run in runs:
        scores = KINDS[run["kind"]].outcomes(folder / run["folder"], run["metric"])
        if not isinstance(scores, ImageScores):
            return {}
        found.setdefault(run["label"], []).append(scores)
    return found


if __name__ == "__main__":
    main()

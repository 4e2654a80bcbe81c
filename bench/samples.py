"""How many images pretraining takes: a small replica of the figures in the paper's supplement.

    python bench/samples.py --data FOLDER --output RUNS [--fractions 0.0625,0.125,0.25,0.5,1] [--seeds 3] [--jobs 2]
    python bench/samples.py --gpu --model resnet50 --image-size 224 --dataset imagenet21k/ --tasks tasks.toml

A network is pretrained with semantic softmax on nested fractions of a dataset's images (`data.fraction`), for equally
many steps each unless told otherwise; what comes out is scored by semantic top-1, and on other data by
`in21k-train benchmark`. By default, datasets, network and tasks are those of schemes.py, which two cores do in an hour;
FOLDER has mini21k.tar. `--gpu` takes a larger network, more epochs and the GPU, `--dataset` and `--tasks` other data.
Each run has its own folder in RUNS; finished runs are not repeated. At the end the script writes RUNS/samples.md,
samples.svg, samples.png and samples.json.
"""

import argparse
import io
import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from schemes import (
    NETWORK,
    PACKAGES,
    SIZE,
    Budget,
    Place,
    Summary,
    benchmark,
    options_of,
    prepare,
    settings_of,
    without_places,
    write_tasks,
)

FRACTIONS = "0.0625,0.125,0.25,0.5,1"
GPU = {"model": "resnet18", "image_size": 64, "epochs": 30, "batch_size": 256, "workers": 12, "device": "cuda"}
"""What `--gpu` stands for; each can be given on its own, too."""
WIDTH, HEIGHT = 9, 3.6
"""Of the figure, in inches."""


@dataclass(frozen=True)
class Plan:
    """What is pretrained."""

    dataset: Path
    model: str
    image_size: int
    budget: Budget
    equal: str
    """What all fractions have: as many steps, or as many epochs."""
    fractions: Sequence[float]
    seeds: Sequence[int]

    def epochs(self, fraction: float) -> int:
        """Return the epochs of a fraction."""
        return round(self.budget.epochs / fraction) if self.equal == "steps" else self.budget.epochs

    def arguments(self, fraction: float, seed: int) -> list[object]:
        """Return the arguments of a pretraining."""
        words: list[object] = [self.dataset, "--recipe", "semantic-softmax", "--model", self.model]
        words += ["--scratch", "--image-size", self.image_size, "--seed", seed, "--set", f"data.fraction={fraction}"]
        return [*words, *settings_of(self.budget, self.epochs(fraction))]


def main() -> None:
    """Pretrain, run the benchmark, write the table and the figure."""
    parser = parser_of()
    first, _ = parser.parse_known_args()
    if first.gpu:
        parser.set_defaults(**GPU)
    options = parser.parse_args()
    if options.data is None and not (options.dataset and options.tasks):
        print("skipped: neither --data nor IN21K_REAL_DATA names a folder with mini21k.tar")
        return
    place = Place(options.output, options.device, options.workers)
    budget = replace(Budget(options.epochs, 0, options.transfer_epochs), batch_size=options.batch_size, lr=options.lr)
    if not (options.dataset and options.tasks):
        prepare(Path(options.data) / "mini21k.tar", place)
    dataset = options.dataset or place.pretraining
    model = (options.model, options.image_size)
    plan = Plan(dataset, *model, budget, options.equal, options.fractions, range(options.seeds))
    wanted = {name(each, seed): plan.arguments(each, seed) for seed in plan.seeds for each in plan.fractions}
    runs = place.pretrain_all(wanted, options.jobs)
    tasks = options.tasks or write_tasks(place.root / "tasks.toml", place, Budget(0, 0, options.transfer_epochs), [0])
    groups = {label(each): [place.root / name(each, seed) for seed in plan.seeds] for each in plan.fractions}
    scores = benchmark(groups, tasks, place.root / "benchmark", options.jobs, options.device)
    write_report(place.root, plan, runs, scores)
    print((place.root / "samples.md").read_text())


def parser_of() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = options_of(__doc__)
    parser.set_defaults(output=Path("build/samples"))
    parser.add_argument("--fractions", type=fractions_of, default=FRACTIONS, help="comma-separated")
    parser.add_argument("--equal", choices=("steps", "epochs"), default="steps", help="what all fractions have")
    parser.add_argument("--dataset", type=Path, help="another dataset to pretrain on, prepared by in21k-prep")
    parser.add_argument("--tasks", type=Path, help="other tasks, a list as in21k-train benchmark takes it")
    parser.add_argument("--gpu", action="store_true", help="the sizes of a GPU: " + str(GPU))
    parser.add_argument("--model", default=NETWORK)
    parser.add_argument("--image-size", type=int, default=SIZE)
    parser.add_argument("--batch-size", type=int, default=Budget(0, 0, 0).batch_size)
    parser.add_argument("--lr", type=float, default=Budget(0, 0, 0).lr)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--workers", type=int, default=0, help="loader processes per run")
    return parser


def fractions_of(text: str) -> list[float]:
    """Return the fractions that a text lists, ascending; their labels, of six digits, must tell them apart."""
    try:
        found = sorted({float(part) for part in text.split(",")})
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of numbers such as {FRACTIONS}") from error
    for each in found:
        if not 1e-6 <= each <= 1 or float(f"{each:g}") != each:
            raise argparse.ArgumentTypeError(f"{each!r} must be from 1e-06 to 1, with six digits at most")
    return found


def label(fraction: float) -> str:
    """Return what a fraction is called in the benchmark's table."""
    return f"fraction-{fraction:g}"


def name(fraction: float, seed: int) -> str:
    """Return the folder of a pretraining."""
    return f"{label(fraction)}-seed-{seed}"


def write_report(root: Path, plan: Plan, runs: dict[str, Summary], scores: Summary) -> None:
    """Write the table, the figure and the record."""
    rows = [row_of(root, plan, runs, scores, fraction) for fraction in plan.fractions]
    record = {
        "budget": vars(plan.budget),
        "equal": plan.equal,
        "versions": {package: version(package) for package in PACKAGES},
        "rows": rows,
        "runs": without_places(runs),
        "benchmark": scores,
    }
    (root / "samples.json").write_text(json.dumps(record, indent=1) + "\n")
    (root / "samples.md").write_text(table(rows))
    for suffix, content in figures(rows).items():
        (root / f"samples.{suffix}").write_bytes(content)


def row_of(root: Path, plan: Plan, runs: dict[str, Summary], scores: Summary, fraction: float) -> dict[str, Any]:
    """Return the scores of a fraction, in percent: semantic top-1 as mean and deviation, the tasks as the benchmark."""
    import pyarrow.parquet as pq

    classes = pq.read_table(root / name(fraction, 0) / "hierarchy.parquet", columns=["images_train"])
    values = [100 * runs[name(fraction, seed)]["val_semantic_top1"] for seed in plan.seeds]
    tasks = {row["task"]: row for row in scores["table"] if row["label"] == label(fraction)}
    return {
        "fraction": fraction,
        "images": sum(classes["images_train"].to_pylist()),
        "epochs": plan.epochs(fraction),
        "semantic": [statistics.mean(values), statistics.stdev(values) if len(values) > 1 else None],
        "tasks": {
            task: [None if row[key] is None else 100 * row[key] for key in ("mean", "std", "low", "high")]
            for task, row in tasks.items()
        },
    }


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return the rows as a Markdown table."""
    tasks = list(rows[0]["tasks"])
    lines = [["fraction", "images", "epochs", "semantic top-1", *tasks], ["---"] * (4 + len(tasks))]
    for row in rows:
        semantic = cell(*row["semantic"], None, None)
        cells = [f"{row['fraction']:g}", f"{row['images']:,}", str(row["epochs"]), semantic]
        lines.append([*cells, *(cell(*row["tasks"][task]) for task in tasks)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def cell(mean: float, std: float | None, low: float | None, high: float | None) -> str:
    """Return a score as text."""
    text = f"{mean:.1f}" + ("" if std is None else f" ± {std:.1f}")
    return text if low is None else f"{text} [{low:.1f}, {high:.1f}]"


def figures(rows: Sequence[dict[str, Any]]) -> dict[str, bytes]:
    """Return the figure as SVG and PNG: semantic top-1 on the left, the tasks on the right, over the images."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    mpl.rcParams["svg.hashsalt"] = "in21k"  # the same input gives the same bytes
    figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
    left, right = figure.subplots(1, 2)
    images = [row["images"] for row in rows]
    means, spreads = zip(*(row["semantic"] for row in rows), strict=True)
    left.errorbar(images, means, [spread or 0 for spread in spreads], marker="o", capsize=3)
    left.set_ylabel("semantic top-1, %")
    for task in rows[0]["tasks"]:
        means, spreads = zip(*(row["tasks"][task][:2] for row in rows), strict=True)
        right.errorbar(images, means, [spread or 0 for spread in spreads], marker="o", capsize=3, label=task)
    right.set_ylabel("on other data, %")
    right.legend()
    for axes in (left, right):
        axes.set_xscale("log", base=2)
        axes.set_xlabel("images to pretrain on")
        axes.set_xticks(images, [f"{count:,}" for count in images], rotation=30)
        axes.grid(alpha=0.3)
    made = {}
    for suffix, metadata in (("svg", {"Date": None}), ("png", {"Software": None})):
        file = io.BytesIO()
        figure.savefig(file, format=suffix, dpi=120, metadata=metadata)
        made[suffix] = file.getvalue()
    return made


if __name__ == "__main__":
    main()

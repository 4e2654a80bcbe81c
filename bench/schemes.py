"""A small replica of the paper's Table 2: one network pretrained under each scheme, then transferred to new classes.

    python bench/schemes.py --data FOLDER --output RUNS [--seeds 3] [--epochs 3] [--jobs 2]

FOLDER has mini21k.tar, a tar of class tars of 64-pixel ImageNet images. Twelve leaf classes, drawn once, are held out
of pretraining; what is learned without them is tried on them by `in21k-train benchmark`, with the tasks that
RUNS/tasks.toml then lists. Each run has its own folder in RUNS; finished runs are not repeated, so the script can be
stopped and started again. At the end it prints the table and writes RUNS/results.json with the summaries of all
pretrainings and the scores of all tasks.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

SCHEMES = ("single-label", "multi-label", "semantic-softmax", "semantic-distillation")
HELD_BACK = 12
NETWORK = "test_resnet"
STORED, SIZE = 64, 48
"""Sides of the images in the shards and of the network's inputs; smaller ones let two cores train longer."""
TEACHER_SEED = 100
"""The teacher is the same network, trained longer; a larger one would learn less in the time that two cores have."""
NEIGHBORS = 20
"""Of k-NN, as in DINO's table."""
PACKAGES = ("torch", "timm", "numpy", "pyarrow", "simplejpeg")

PLACES = ("run", "checkpoint")
"""Keys of a summary that name folders of this machine."""

_SHOWN = (("val_semantic_top1", 100), ("val_mistake_distance", 1))
"""Scores of a pretraining that are shown, and what they are multiplied with."""

Summary = dict[str, Any]


@dataclass(frozen=True)
class Budget:
    """What every scheme trains with."""

    epochs: int
    teacher_epochs: int
    transfer_epochs: int
    batch_size: int = 64
    lr: float = 2e-3
    cutout: float = 0.5
    randaugment_ops: int = 0
    """0: in so few steps, a small network learns less with RandAugment under every scheme."""


@dataclass(frozen=True)
class Place:
    """The folder of all runs and datasets."""

    root: Path
    """Of all runs."""
    device: str = "cpu"
    workers: int = 0
    """Loader processes of each run."""

    @property
    def pretraining(self) -> Path:
        """The dataset without the held-out classes."""
        return self.root / "data" / "pretraining"

    @property
    def held_back(self) -> Path:
        """The dataset of the held-out classes."""
        return self.root / "data" / "held-back"

    def run(self, command: str, name: str, *arguments: object) -> Summary:
        """Run a command of in21k-train in the folder of this name, unless it has finished; return its summary."""
        folder = self.root / name
        if not (folder / "summary.json").exists():
            resume = ["--resume"] if (folder / "config.json").exists() else []
            where = ["--output", str(folder), "--device", self.device, "--workers", str(self.workers)]
            words = [command, *map(str, arguments), *where]
            folder.parent.mkdir(parents=True, exist_ok=True)
            call([sys.executable, "-m", "in21k.train", *words, *resume], folder.with_name(f"{folder.name}.log"))
            print(f"{name}: done", file=sys.stderr)
        summary: Summary = json.loads((folder / "summary.json").read_text())
        return summary

    def pretrain_all(self, wanted: Mapping[str, Sequence[object]], jobs: int) -> dict[str, Summary]:
        """Run pretrainings, given the arguments of each by name, several at once; return their summaries by name."""
        with ThreadPoolExecutor(jobs) as pool:
            futures = {name: pool.submit(self.run, "pretrain", name, *words) for name, words in wanted.items()}
            return {name: future.result() for name, future in futures.items()}


def main() -> None:
    """Prepare the two datasets, run everything, print the table."""
    parser = options_of(__doc__)
    parser.add_argument("--teacher-epochs", type=int, default=6)
    parser.add_argument("--schemes", default=",".join(SCHEMES), help="comma-separated")
    options = parser.parse_args()
    if options.data is None:
        print("skipped: neither --data nor IN21K_REAL_DATA names a folder with mini21k.tar")
        return
    place, schemes = Place(options.output), options.schemes.split(",")
    budget = Budget(options.epochs, options.teacher_epochs, options.transfer_epochs)
    held = prepare(Path(options.data) / "mini21k.tar", place)
    results = run_all(place, budget, schemes, range(options.seeds), options.jobs)
    tasks = write_tasks(place.root / "tasks.toml", place, budget, range(options.seeds))
    groups = {scheme: [place.root / f"{scheme}-{seed}" for seed in range(options.seeds)] for scheme in schemes}
    scores = benchmark(groups, tasks, place.root / "benchmark", options.jobs)
    record = {"held_back": held, "budget": vars(budget), "versions": {name: version(name) for name in PACKAGES}}
    runs = {"runs": without_places(results), "benchmark": scores}
    (options.output / "results.json").write_text(json.dumps({**record, **runs}, indent=1) + "\n")
    print_table(results, schemes, range(options.seeds))
    print((place.root / "benchmark" / "table.md").read_text())


def options_of(text: str) -> argparse.ArgumentParser:
    """Return a parser of the options that the benchmarks over mini21k share, given a script's docstring."""
    parser = argparse.ArgumentParser(description=text.partition("\n")[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("IN21K_REAL_DATA"), help="folder of mini21k.tar")
    parser.add_argument("--output", type=Path, default=Path("build/schemes"), help="folder of the runs")
    parser.add_argument("--seeds", type=positive, default=3)
    parser.add_argument("--epochs", type=positive, default=3)
    parser.add_argument("--transfer-epochs", type=positive, default=3)
    parser.add_argument(
        "--jobs", type=positive, default=len(os.sched_getaffinity(0)), help="concurrent runs, one core each"
    )
    return parser


def positive(text: str) -> int:
    """Return the whole number above 0 that a text is."""
    if not text.isascii() or not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")
    return int(text)


def run_all(
    place: Place, budget: Budget, schemes: Sequence[str], seeds: Sequence[int], jobs: int
) -> dict[str, Summary]:
    """Run the pretrainings, and the new classes from random weights; return all summaries by name."""
    results: dict[str, Summary] = {}

    def one(scheme: str, seed: int, teacher: "Future[Summary] | None") -> None:
        name = f"{scheme}-{seed}"
        if scheme == "scratch":
            results[name] = place.run("pretrain", f"transfer/{name}", *from_scratch(place, budget, seed))
            return
        more = ["--set", f"distill.teacher={teacher.result()['run']}"] if teacher is not None else []
        results[name] = place.run("pretrain", name, *pretraining(place, budget, scheme, seed), *more)

    with ThreadPoolExecutor(jobs) as pool:
        needed = "semantic-distillation" in schemes
        words = pretraining(place, budget, "semantic-softmax", TEACHER_SEED, budget.teacher_epochs)
        teacher = pool.submit(place.run, "pretrain", "teacher", *words) if needed else None
        pairs = [(scheme, seed) for seed in seeds for scheme in ("scratch", *schemes)]
        order = sorted(pairs, key=lambda pair: (pair[1], pair[0] == "semantic-distillation"))  # the teacher takes long
        futures = [pool.submit(one, *pair, teacher if pair[0] == "semantic-distillation" else None) for pair in order]
        for future in futures:
            future.result()
    if teacher is not None:
        results["teacher"] = teacher.result()
    return results


def pretraining(place: Place, budget: Budget, scheme: str, seed: int, epochs: int = 0) -> list[object]:
    """Return the arguments of a pretraining."""
    words: list[object] = [place.pretraining, "--recipe", scheme, "--model", NETWORK, "--scratch", "--image-size", SIZE]
    return [*words, "--seed", seed, *settings_of(budget, epochs or budget.epochs)]


def from_scratch(place: Place, budget: Budget, seed: int) -> list[object]:
    """Return the arguments of a training on the classes held back that begins with random weights."""
    words: list[object] = [place.held_back, "--recipe", "transfer-single-label", "--model", NETWORK]
    return [*words, "--image-size", SIZE, "--seed", seed, *settings_of(budget, budget.transfer_epochs)]


def settings_of(budget: Budget, epochs: int) -> list[object]:
    """Return the arguments that all runs have in common."""
    words: list[object] = []
    for key, value in settings(budget, epochs).items():
        words += ["--set", f"{key}={value}"]
    return words


def settings(budget: Budget, epochs: int) -> dict[str, float]:
    """Return the settings that all runs have in common."""
    return {
        "optim.epochs": epochs,
        "data.batch_size": budget.batch_size,
        "optim.lr": budget.lr,
        "data.cutout": budget.cutout,
        "data.randaugment_ops": budget.randaugment_ops,
        "run.eval_epochs": epochs,
    }


def write_tasks(path: Path, place: Place, budget: Budget, seeds: Sequence[int]) -> Path:
    """Write the list of tasks on the classes held back."""
    tuned = "".join(f"set.{key} = {value}\n" for key, value in settings(budget, budget.transfer_epochs).items())
    data = json.dumps(str(place.held_back.resolve()))
    path.write_text(
        f'[defaults]\ndata = {data}\nset.run.workers = {place.workers}\nset.run.device = "{place.device}"\n\n'
        f'[tasks.probe]\ntitle = "linear probe"\nkind = "probe"\n\n'
        f'[tasks.fine-tuning]\nkind = "fine-tune"\nseeds = {list(seeds)}\n{tuned}\n'
        f'[tasks.knn]\ntitle = "k-NN"\nkind = "knn"\nknn = {NEIGHBORS}\n\n'
        f'[tasks.retrieval]\nkind = "retrieve"\n'
    )
    return path


def benchmark(
    groups: Mapping[str, Sequence[Path]], tasks: Path, output: Path, jobs: int, device: str = "cpu"
) -> Summary:
    """Run `in21k-train benchmark` over labeled groups of runs, and return its summary but for places and times."""
    labeled = [f"{label}={','.join(str(run.resolve()) for run in runs)}" for label, runs in groups.items()]
    words = ["--tasks", tasks, "--output", output, "--jobs", jobs, "--device", device, "--json"]
    command = [sys.executable, "-m", "in21k.train", "benchmark", *labeled, *map(str, words)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, env=environment)
    found: Summary = json.loads(done.stdout)
    for run in found["runs"]:
        run.pop("checkpoint")
    return {"table": found["table"], "runs": found["runs"]}


def without_places(results: Mapping[str, Summary]) -> dict[str, Summary]:
    """Return summaries without what names folders of this machine."""
    return {name: {key: value for key, value in run.items() if key not in PLACES} for name, run in results.items()}


def prepare(raw: Path, place: Place) -> list[str]:
    """Prepare the two datasets unless they exist, and return the held-out classes."""
    data = place.root / "data"
    chosen = data / "held-back.json"
    if not chosen.exists():
        data.mkdir(parents=True, exist_ok=True)
        prep("run", raw, data / "work-all", data / "all", "--size", STORED)
        table = pq.read_table(data / "all" / "hierarchy.parquet").to_pylist()
        leaves = sorted(row["wnid"] for row in table if not row["children"])
        held = sorted(random.Random(0).sample(leaves, HELD_BACK))
        split_dump(raw, data / "held-back.tar", lambda wnid: wnid in held)
        split_dump(raw, data / "pretraining.tar", lambda wnid: wnid not in held)
        for folder in (place.held_back, place.pretraining):
            prep("run", folder.with_suffix(".tar"), data / f"work-{folder.name}", folder, "--size", STORED)
        chosen.write_text(json.dumps(held))
    wnids: list[str] = json.loads(chosen.read_text())
    return wnids


def split_dump(raw: Path, target: Path, keep: Callable[[str], bool]) -> None:
    """Write a dump with some of the class tars of another, as they are."""
    with tarfile.open(raw) as source, tarfile.open(target, "w") as output:
        for member in members(source):
            if keep(Path(member.name).stem):
                output.addfile(member, source.extractfile(member))


def members(source: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """Yield the regular files of a tar."""
    while (member := source.next()) is not None:
        if member.isfile():
            yield member


def prep(*arguments: object) -> None:
    """Run a command of in21k-prep."""
    subprocess.run([sys.executable, "-m", "in21k.prep", *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)


def call(command: Sequence[str], log: Path) -> None:
    """Run a command on one core, with its output in a file.

    Raises:
        RuntimeError: the command failed.
    """
    with log.open("a") as file:
        file.write(" ".join(command) + "\n")
        file.flush()
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, stdout=file, stderr=file, env=environment, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}; see {log}")


def print_table(results: dict[str, Summary], schemes: Sequence[str], seeds: Sequence[int]) -> None:
    """Print the scores of the pretrainings: mean and standard deviation over seeds, as a Markdown table."""
    print("| pretraining | semantic top-1, % | mistake distance, edges |")
    print("|---|---|---|")
    for scheme in schemes:
        cells = [spread(results, scheme, seeds, *which) for which in _SHOWN]
        print(f"| {scheme} | {' | '.join(cells)} |")
    print(f"\nfrom random weights, top-1 on the new classes: {spread(results, 'scratch', seeds, 'val_top1', 100)}\n")


def spread(results: dict[str, Summary], name: str, seeds: Sequence[int], key: str, scale: float) -> str:
    """Return the mean and the standard deviation of a score over the seeds of a run."""
    values = [results[f"{name}-{seed}"][key] * scale for seed in seeds]
    return f"{statistics.mean(values):.2f}" + (f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else "")


if __name__ == "__main__":
    main()

"""A student with a teacher against the same student without one: a small replica of the paper's section 5.3.

    python bench/taught.py --data FOLDER --output RUNS [--seeds 3] [--jobs 2]

FOLDER has mini21k.tar, as for schemes.py, whose datasets, network and budget these are: one network is pretrained with
semantic softmax without twelve classes, then fine-tuned on those twelve, once from the labels alone and once with a
teacher beside them. The teacher is a larger network, pretrained on the same images and fine-tuned longer. Finished runs
are not repeated. At the end it prints the table and writes RUNS/taught.json with the summaries of all runs.
"""

import json
import statistics
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

from schemes import PACKAGES, PLACES, Budget, Place, Summary, options_of, prepare, pretraining, settings_of

TEACHER = "resnet10t"
"""5.4 M parameters against the student's 0.4 M."""
WAYS = {"labels": "transfer-single-label", "labels and teacher": "transfer-distillation"}
"""How students are fine-tuned, and by which recipe."""


def main() -> None:
    """Prepare the two datasets, run everything, print the table."""
    parser = options_of(__doc__)
    parser.add_argument("--teacher-transfer-epochs", type=int, default=9)
    options = parser.parse_args()
    if options.data is None:
        print("skipped: neither --data nor IN21K_REAL_DATA names a folder with mini21k.tar")
        return
    place = Place(options.output)
    budget = Budget(options.epochs, options.epochs, options.transfer_epochs)
    held = prepare(Path(options.data) / "mini21k.tar", place)
    results = run_all(place, budget, options.teacher_transfer_epochs, range(options.seeds), options.jobs)
    versions = {name: version(name) for name in PACKAGES}
    record = {"held_back": held, "teacher": TEACHER, "budget": vars(budget), "versions": versions}
    runs = {name: {key: value for key, value in run.items() if key not in PLACES} for name, run in results.items()}
    (options.output / "taught.json").write_text(json.dumps({**record, "runs": runs}, indent=1) + "\n")
    print_table(results, range(options.seeds))


def run_all(place: Place, budget: Budget, teacher_epochs: int, seeds: Sequence[int], jobs: int) -> dict[str, Summary]:
    """Run the teacher, the pretrainings and the fine-tunings of each; return all summaries by name."""
    results: dict[str, Summary] = {}

    def teach() -> Path:
        words = [*pretraining(place, budget, "semantic-softmax", 0), "--model", TEACHER]
        results["teacher"] = place.run("pretrain", "taught/teacher", *words)
        start = [place.held_back, "--checkpoint", place.root / "taught/teacher", "--seed", 0]
        tuned = place.run("transfer", "taught/teacher-tuned", *start, *settings_of(budget, teacher_epochs))
        results["teacher/fine-tuning"] = tuned
        return place.root / "taught/teacher-tuned"

    def student(seed: int) -> None:
        name = f"semantic-softmax-{seed}"
        results[name] = place.run("pretrain", name, *pretraining(place, budget, "semantic-softmax", seed))
        start = [place.held_back, "--checkpoint", place.root / name, "--seed", seed]
        for way, recipe in WAYS.items():
            words = [*start, "--recipe", recipe, *settings_of(budget, budget.transfer_epochs)]
            more = ["--teacher", teacher.result()] if recipe == "transfer-distillation" else []
            results[f"{name}/{way}"] = place.run("transfer", f"taught/{seed}-{recipe}", *words, *more)

    with ThreadPoolExecutor(jobs) as pool:
        teacher = pool.submit(teach)
        for future in [pool.submit(student, seed) for seed in seeds]:
            future.result()
    return results


def print_table(results: dict[str, Summary], seeds: Sequence[int]) -> None:
    """Print the mean and standard deviation of top-1 over seeds, in percent, as a Markdown table."""
    print("| fine-tuned with | top-1 | validation loss |")
    print("|---|---|---|")
    for way in WAYS:
        cells = []
        for key, scale in (("val_top1", 100), ("val_loss", 1)):
            values = [results[f"semantic-softmax-{seed}/{way}"][key] * scale for seed in seeds]
            spread = statistics.stdev(values) if len(values) > 1 else float("nan")
            cells.append(f"{statistics.mean(values):.2f} ± {spread:.2f}")
        print(f"| {way} | {' | '.join(cells)} |")
    print(f"| the teacher itself, {TEACHER} | {100 * results['teacher/fine-tuning']['val_top1']:.2f} | |")


if __name__ == "__main__":
    main()

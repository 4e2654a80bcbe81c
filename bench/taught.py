"""A student with a teacher against the same student without one: a small replica of the paper's section 5.3.

    python bench/taught.py --data FOLDER --output RUNS [--seeds 3] [--jobs 2]

FOLDER has mini21k.tar, as for schemes.py, whose datasets, network and budget these are: one network is pretrained with
semantic softmax without twelve classes, then fine-tuned on those twelve, once from the labels alone and once with a
teacher beside them. The teacher is a larger network, pretrained on the same images and fine-tuned longer. All
fine-tuning is that of `in21k-train benchmark`. Finished runs are not repeated. At the end it prints the table and
writes RUNS/taught.json with the summaries of the pretrainings and the scores.
"""

import json
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from schemes import (
    PACKAGES,
    Budget,
    Place,
    Summary,
    benchmark,
    options_of,
    prepare,
    pretraining,
    settings,
    without_places,
)

TEACHER = "resnet10t"
"""5.4 M parameters against the student's 0.4 M."""


def main() -> None:
    """Prepare the two datasets, run everything, print the tables."""
    parser = options_of(__doc__)
    parser.add_argument("--teacher-transfer-epochs", type=int, default=9)
    options = parser.parse_args()
    if options.data is None:
        print("skipped: neither --data nor IN21K_REAL_DATA names a folder with mini21k.tar")
        return
    place = Place(options.output)
    budget = Budget(options.epochs, options.epochs, options.transfer_epochs)
    held = prepare(Path(options.data) / "mini21k.tar", place)
    runs = pretrained(place, budget, range(options.seeds), options.jobs)
    tuned, scores = teach(place, budget, options.teacher_transfer_epochs)
    learned = learn(place, budget, tuned, range(options.seeds), options.jobs)
    versions = {name: version(name) for name in PACKAGES}
    record = {"held_back": held, "teacher": TEACHER, "budget": vars(budget), "versions": versions}
    found = {"runs": without_places(runs), "teacher_benchmark": scores, "benchmark": learned}
    (options.output / "taught.json").write_text(json.dumps({**record, **found}, indent=1) + "\n")
    for name in ("teacher-tuned", "students"):
        print((place.root / "taught" / name / "table.md").read_text())


def pretrained(place: Place, budget: Budget, seeds: Sequence[int], jobs: int) -> dict[str, Summary]:
    """Pretrain the teacher and the students; return the summaries by name."""
    words = {f"semantic-softmax-{seed}": pretraining(place, budget, "semantic-softmax", seed) for seed in seeds}
    words["taught/teacher"] = [*pretraining(place, budget, "semantic-softmax", 0), "--model", TEACHER]
    return place.pretrain_all(words, jobs)


def teach(place: Place, budget: Budget, epochs: int) -> tuple[Path, Summary]:
    """Fine-tune the teacher; return its folder and its scores."""
    folder = place.root / "taught" / "teacher-tuned"
    tasks = write_tasks(folder.with_suffix(".toml"), place, {"tuned": settings(budget, epochs)})
    scores = benchmark({"teacher": [place.root / "taught" / "teacher"]}, tasks, folder, jobs=1)
    return folder / "runs" / "tuned" / "teacher" / "checkpoint-0-seed-0", scores


def learn(place: Place, budget: Budget, teacher: Path, seeds: Sequence[int], jobs: int) -> Summary:
    """Fine-tune the students, without the teacher and with it; return their scores."""
    own = settings(budget, budget.transfer_epochs)
    ways = {"labels": own, "labels-and-teacher": {**own, "distill.teacher": str(teacher.resolve())}}
    folder = place.root / "taught" / "students"
    tasks = write_tasks(folder.with_suffix(".toml"), place, ways)
    groups = {"semantic-softmax": [place.root / f"semantic-softmax-{seed}" for seed in seeds]}
    return benchmark(groups, tasks, folder, jobs)


def write_tasks(path: Path, place: Place, ways: Mapping[str, Mapping[str, float | str]]) -> Path:
    """Write a list of fine-tunings on the classes held back, with the settings of each."""
    text = f'[defaults]\nkind = "fine-tune"\ndata = {json.dumps(str(place.held_back.resolve()))}\n'
    text += 'set.run.workers = 0\nset.run.device = "cpu"\n'
    for name, values in ways.items():
        text += f"\n[tasks.{name}]\n"
        text += "".join(f"set.{key} = {json.dumps(value)}\n" for key, value in values.items())
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


if __name__ == "__main__":
    main()

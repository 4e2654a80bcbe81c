"""`benchmark` as users run it: tasks over checkpoints, killed and continued, and its table computed anew."""

import csv
import json
import os
import re
import signal
import statistics
import subprocess

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import warm
from downstream import write_weights
from processes import descendants, lives, started_with, until
from shape_boxes import write_shapes
from small_dataset import write_dataset
from small_videos import write_ordered
from train_runs import answer, run_train, summary_of, train_command, trained

from in21k.train.benchmark.checkpoints import Checkpoint
from in21k.train.benchmark.outcomes import retrieved
from in21k.train.benchmark.plan import PlannedRun
from in21k.train.benchmark.scores import score_of
from in21k.train.benchmark.tasks_file import Task
from in21k.train.errors import TrainError

TASKS = """
[defaults]
seeds = [0, 1]
[defaults.set]
data.batch_size = 8
data.cutout = 0
run.workers = 0
[tasks.probe]
kind = "probe"
data = "data"
title = "linear probe"
[tasks.tuned]
kind = "fine-tune"
data = "data"
set.optim.epochs = EPOCHS
set.run.log_steps = 1
"""


@pytest.fixture(scope="module", autouse=True)
def quick_starts():
    """Let a benchmark in this process start its runs as forks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.executable", warm.python()[0])
        yield


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a dataset, a list of tasks and three runs."""
    folder = tmp_path_factory.mktemp("place")
    write_dataset(folder / "data")
    (folder / "tasks.toml").write_text(TASKS.replace("EPOCHS", "1"))
    for seed in range(3):
        trained(folder / "data", folder / f"run-{seed}", "test_resnet", **{"run.seed": seed})
    return folder


def words(place, output, *more: object, tasks: str = "tasks.toml") -> list[object]:
    groups = [f"ours={place}/run-0,{place}/run-1", f"other={place}/run-2"]
    return ["benchmark", *groups, "--tasks", place / tasks, "--output", output, "--device", "cpu", *more]


@pytest.fixture(scope="module")
def calm(place, tmp_path_factory):
    output = tmp_path_factory.mktemp("calm") / "out"
    done = run_train(*words(place, output, "--jobs", 2))
    assert done.returncode == 0, done.stderr
    return output, done


def table(output) -> dict[tuple[str, str], dict[str, str]]:
    with (output / "table.csv").open() as file:
        return {(row["label"], row["task"]): row for row in csv.DictReader(file)}


def summaries(output, task: str, label: str) -> list[float]:
    found = sorted((output / "runs" / task / label).glob("*/summary.json"))
    return [json.loads(path.read_text())["val_top1"] for path in found]


@pytest.mark.guard
def test_the_table_has_the_means_of_the_summaries(calm):
    output, _ = calm
    found = table(output)
    for label, checkpoints in (("ours", 2), ("other", 1)):
        for task, seeds in (("probe", 1), ("tuned", 2)):
            scores, row = summaries(output, task, label), found[label, task]
            assert len(scores) == int(row["runs"]) == checkpoints * seeds
            assert float(row["mean"]) == pytest.approx(statistics.fmean(scores))
            if len(scores) > 1:
                assert float(row["std"]) == pytest.approx(statistics.stdev(scores))
            else:
                assert row["std"] == ""
    own = np.array(summaries(output, "tuned", "ours")).reshape(2, 2)
    row = found["ours", "tuned"]
    assert float(row["std_checkpoints"]) == pytest.approx(own.mean(1).std(ddof=1))
    assert float(row["std_seeds"]) == pytest.approx(np.sqrt(own.var(1, ddof=1).mean()))
    assert found["other", "tuned"]["std_checkpoints"] == ""


@pytest.mark.guard
def test_markdown_shows_what_the_csv_has(calm):
    output, done = calm
    text, found = (output / "table.md").read_text(), table(output)
    assert done.stdout.startswith(text)
    lines = text.splitlines()
    assert lines[0] == "| checkpoint | linear probe, top-1 | tuned, top-1 |"
    assert [line.split(" | ")[0] for line in lines[2:4]] == ["| ours", "| other"]
    row = found["ours", "tuned"]
    mean, std, low, high = (100 * float(row[name]) for name in ("mean", "std", "low", "high"))
    assert f"| {mean:.1f} ± {std:.1f} [{low:.1f}, {high:.1f}] |" in lines[2]
    with (output / "runs.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 9


@pytest.mark.guard
def test_the_interval_is_that_of_images_drawn_anew(calm):
    output, _ = calm
    ranks = [
        np.array(pq.read_table(path)["rank"])
        for path in sorted((output / "runs/tuned/ours").glob("*/val_predictions.parquet"))
    ]
    values, random = np.mean([rank == 0 for rank in ranks], axis=0), np.random.default_rng(1)
    draws = [np.mean([values[random.integers(17)] for _ in range(17)]) for _ in range(4000)]
    row = table(output)["ours", "tuned"]
    assert (float(row["low"]), float(row["high"])) == pytest.approx(np.quantile(draws, [0.025, 0.975]), abs=0.03)
    assert row["images"] == "17"


@pytest.mark.guard
def test_what_has_finished_is_not_run_again(calm, place, capsys):
    output, _ = calm
    before = {path: path.stat().st_mtime_ns for path in output.glob("runs/**/summary.json")}
    tables = {name: (output / name).read_bytes() for name in ("table.md", "table.csv", "runs.csv", "benchmark.json")}
    status, out, err = answer(capsys, *words(place, output, "--json"))
    assert (status, json.loads(out)["runs_kept"]) == (0, 9), err
    assert err == "benchmark: 9 of 9 runs have finished before\n"
    assert {path: path.stat().st_mtime_ns for path in output.glob("runs/**/summary.json")} == before
    assert {name: (output / name).read_bytes() for name in tables} == tables


@pytest.mark.parametrize("kills", [pytest.param(1, marks=pytest.mark.guard), pytest.param(3, marks=pytest.mark.slow)])
def test_a_benchmark_that_is_killed_again_and_again_ends_with_the_same_table(calm, place, tmp_path, kills):
    output = tmp_path / "out"
    for kill in range(kills):
        process = subprocess.Popen(train_command(*words(place, output)), stderr=subprocess.DEVNULL)
        target = len(list(output.glob("runs/**/summary.json"))) + 2
        until(
            lambda target=target, process=process: (
                len(list(output.glob("runs/**/summary.json"))) >= target or process.poll() is not None
            )
        )
        assert process.poll() is None, f"it ended before kill {kill}"
        below = descendants(process.pid)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        until(lambda below=below: not any(map(lives, below)))
    last = run_train(*words(place, output))
    assert last.returncode == 0, last.stderr
    for name in ("table.md", "table.csv", "runs.csv"):
        assert (output / name).read_bytes() == (calm[0] / name).read_bytes()


@pytest.mark.guard
def test_sigterm_stops_its_processes_and_a_run_goes_on_from_its_checkpoint(place, tmp_path):
    text = re.sub(r"(?s)\[tasks.probe\].*(?=\[tasks.tuned\])", "", TASKS)
    (place / "long.toml").write_text(text.replace("EPOCHS", "200").replace("[0, 1]", "[5]"))
    command = words(place, tmp_path / "out", tasks="long.toml")
    mark = {"IN21K_BENCHMARK_TEST": str(tmp_path)}
    process = subprocess.Popen(train_command(*command), stderr=subprocess.DEVNULL, env={**os.environ, **mark})
    run = tmp_path / "out/runs/tuned/ours/checkpoint-0-seed-5"
    until(lambda: len(list((run / "checkpoints").glob("step-*"))) > 0 or process.poll() is not None)
    process.terminate()
    assert process.wait() == 143
    assert not started_with(**mark)
    assert not (run / "summary.json").exists()
    kept = (run / "metrics.csv").read_bytes()
    process = subprocess.Popen(train_command(*command), stderr=subprocess.DEVNULL, env={**os.environ, **mark})
    until(lambda: len((run / "metrics.csv").read_bytes()) > len(kept) + 100 or process.poll() is not None)
    process.kill()
    process.wait()
    until(lambda: not started_with(**mark))
    assert (run / "metrics.csv").read_bytes().startswith(kept)


def one_line(capsys, *arguments: object) -> str:
    status, out, err = answer(capsys, *arguments)
    assert (status, out) == (1, "")
    return err.splitlines()[-1].removeprefix("in21k-train: error: ")


@pytest.mark.guard
def test_another_setting_or_checkpoint_is_refused_until_the_run_is_deleted(calm, place, tmp_path, capsys):
    changed = (place / "tasks.toml").read_text().replace("data.batch_size = 8", "data.batch_size = 4")
    (place / "changed.toml").write_text(changed)
    line = one_line(capsys, *words(place, calm[0], tasks="changed.toml"))
    assert "runs/probe/ours/checkpoint-0 was asked for otherwise: settings.data.batch_size 8, now 4; " in line
    assert "or give another --output" in line
    swapped = [f"ours={place}/run-1,{place}/run-0", "--tasks", place / "tasks.toml", "--output", calm[0]]
    assert "was asked for otherwise: checkpoint_sha256" in one_line(capsys, "benchmark", *swapped)


@pytest.mark.guard
def test_where_a_run_is_computed_may_change(calm, place, capsys):
    (place / "workers.toml").write_text((place / "tasks.toml").read_text().replace("workers = 0", "workers = 1"))
    assert answer(capsys, *words(place, calm[0], tasks="workers.toml"))[0] == 0


FROZEN = """
[defaults]
data = "data"
[tasks.neighbors]
kind = "knn"
knn = [5, 9]
set.run.workers = 0
[tasks.retrieved]
kind = "retrieve"
gallery = "all"
metric = "recall_at_5"
[tasks.videos]
kind = "video"
data = "videos"
title = "order of frames"
clips = 2
set.optim.epochs = 1
set.data.batch_size = 8
set.video = { frames = 4, rate = 2, layers = 1, heads = 2 }
set.run.workers = 0
"""


@pytest.mark.guard
def test_a_run_that_fails_stops_no_other_and_is_named(place, tmp_path, capsys):
    weights = write_weights(tmp_path / "weights.safetensors")  # nothing says which model it is of
    write_ordered(place / "videos", train=8)
    (place / "frozen.toml").write_text(FROZEN)
    line = one_line(
        capsys,
        "benchmark",
        f"bad={weights}",
        f"good={place}/run-0",
        *("--tasks", place / "frozen.toml", "--output", tmp_path / "out", "--device", "cpu"),
    )
    assert line.startswith(
        "3 of 6 runs have no score; the first of them: neighbors, bad 0 (status 1): in21k-train: error: "
    )
    assert line.endswith("checkpoint-0.log")
    assert {key[0] for key in table(tmp_path / "out")} == {"good"}
    text, found = (tmp_path / "out" / "table.md").read_text(), table(tmp_path / "out")
    head = "| checkpoint | neighbors, top-1 | retrieved, recall@5 | order of frames, top-1 |"
    assert text.startswith(f"{head}\n| --- | --- | --- | --- |\n| bad | – | – | – |\n")
    folder = tmp_path / "out/runs"
    summary = json.loads((folder / "neighbors/good/checkpoint-0/summary.json").read_text())
    assert list(summary["knn"]) == ["5", "9"]
    summary = json.loads((folder / "retrieved/good/checkpoint-0/retrieval.json").read_text())
    row = found["good", "retrieved"]
    assert float(row["mean"]) == pytest.approx(summary["recall_at_5"])
    assert float(row["low"]) <= float(row["mean"]) <= float(row["high"])
    assert int(row["images"]) == summary["queries"] == 17
    ranks = retrieved(folder / "retrieved/good/checkpoint-0", "map")
    assert ranks.values.mean() == pytest.approx(summary["map"])
    summary, row = summary_of(folder / "videos/good/checkpoint-0-seed-0"), found["good", "videos"]
    assert (float(row["mean"]), int(row["images"])) == (summary["val_top1"], summary["val_images"])
    assert row["low"] != ""


BOXES = """
[tasks.boxes]
kind = "detection"
data = "shapes"
metric = "val_map50"
set.optim.epochs = 1
set.data.batch_size = 4
set.data.image_size = 64
set.detection = { width = 16, least_side = 32, longest_side = 96 }
set.run.workers = 0
"""


def test_detection_has_scores_and_no_interval(place, tmp_path, capsys):
    write_shapes(place / "shapes", train=8, val=4, side=96)
    (place / "boxes.toml").write_text(BOXES)
    options = ["--tasks", place / "boxes.toml", "--output", tmp_path / "out", "--device", "cpu"]
    status, out, err = answer(capsys, "benchmark", f"ours={place}/run-0", *options)
    assert status == 0, err
    row, summary = (
        table(tmp_path / "out")["ours", "boxes"],
        summary_of(tmp_path / "out/runs/boxes/ours/checkpoint-0-seed-0"),
    )
    assert float(row["mean"]) == pytest.approx(summary["val_map50"])
    assert (row["metric"], row["low"], row["images"]) == ("val_map50", "", "")
    assert out.startswith("| checkpoint | boxes, AP50 |")


@pytest.mark.guard
def test_a_run_without_val_images_has_no_score_and_leaves_the_others_theirs(calm, place, tmp_path, capsys):
    output = tmp_path / "out"
    subprocess.run(["cp", "-r", calm[0], output], check=True)
    path = output / "runs/probe/other/checkpoint-0/summary.json"
    path.write_text(json.dumps({"val_images": 0, "val_loss": None}))
    line = one_line(capsys, *words(place, output))
    assert line.startswith("1 of 9 runs have no score; the first of them: ")
    assert "probe/other/checkpoint-0/summary.json has no val_top1 nor val_top5 nor val_map nor val_map_micro; " in line
    assert set(table(output)) == set(table(calm[0])) - {("other", "probe")}


@pytest.mark.parametrize("score", ["NaN", "Infinity", "57.3", "-1"])
def test_a_score_that_is_no_share_is_none(tmp_path, score):
    task = Task("a", "probe", "data", "a")
    run = PlannedRun(task, "label", 0, Checkpoint("runs/x", "0" * 64), 0, tmp_path)
    run.summary.write_text(f'{{"val_top1": {score}}}')
    with pytest.raises(TrainError, match=rf"summary\.json has val_top1 = {float(score):g}") as refused:
        score_of(run)
    assert str(refused.value).endswith(f"which is no share of 0 to 1; delete {tmp_path} to run it anew")


@pytest.mark.guard
def test_runs_over_other_images_share_no_row(calm, place, tmp_path, capsys):
    output = tmp_path / "out"
    subprocess.run(["cp", "-r", calm[0], output], check=True)
    path = output / "runs/tuned/ours/checkpoint-1-seed-0/val_predictions.parquet"
    rows = pq.read_table(path)
    pq.write_table(rows.slice(1), path)
    line = one_line(capsys, *words(place, output))
    assert line.startswith("tuned, ours: the runs do not have the same test images; ")
    assert set(table(output)) == set(table(calm[0])) - {("ours", "tuned")}, "the other cells stay"


@pytest.mark.guard
@pytest.mark.parametrize(
    "damage",
    [
        lambda rows: rows.set_column(rows.schema.get_field_index("rank"), "rank", pa.array(["x"] * len(rows))),
        lambda rows: rows.drop_columns(["rank"]),
    ],
)
def test_damaged_predictions_are_one_line_and_leave_the_other_cells(calm, place, tmp_path, capsys, damage):
    output = tmp_path / "out"
    subprocess.run(["cp", "-r", calm[0], output], check=True)
    path = output / "runs/probe/other/checkpoint-0/val_predictions.parquet"
    pq.write_table(damage(pq.read_table(path)), path)
    line = one_line(capsys, *words(place, output))
    assert line.startswith(f"{path} is damaged (")
    assert set(table(output)) == set(table(calm[0])) - {("other", "probe")}


@pytest.mark.parametrize("name", ["table.md", "config.json"])
def test_a_folder_of_something_else_is_left_alone(place, tmp_path, capsys, name):
    (tmp_path / name).write_text('{"config": {}, "dataset": {}}')
    assert f"{tmp_path} holds {name}" in one_line(capsys, *words(place, tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (
            ["PLACE/run-0", "run-0=PLACE/run-1"],
            "run-0=PLACE/run-1: the label run-0 is taken; give another, as in NAME=",
        ),
        (["a=PLACE/run-0,PLACE/run-0"], "a checkpoint is there twice; name each once"),
        (["a=PLACE/run-0,"], "a path is empty; give NAME=PATH or NAME=PATH,PATH"),
        (["a b=PLACE/run-0"], "a label has letters, digits"),
        (["PLACE/nothing"], "PLACE/nothing: there is no checkpoint"),
    ],
)
def test_checkpoints_that_are_none_are_refused_before_anything_is_written(place, tmp_path, capsys, given, told):
    given = [text.replace("PLACE", str(place)) for text in given]
    line = one_line(capsys, "benchmark", *given, "--tasks", place / "tasks.toml", "--output", tmp_path / "out")
    assert told.replace("PLACE", str(place)) in line
    assert not (tmp_path / "out").exists()

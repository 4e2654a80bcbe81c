"""The benchmarks of training and loading run, at a small size."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import warm

BENCH = Path(__file__).parents[2] / "bench"


@pytest.mark.slow
def test_the_throughput_bench_prints_a_row_a_model(dataset_folder):
    options = ["--model", "test_vit", "--batch-size", "8", "--steps", "2", "--rounds", "1", "--workers", "1"]
    command = [sys.executable, BENCH / "bench_train_throughput.py", dataset_folder, "--device", "cpu", *options]
    done = subprocess.run([*map(str, command), "--threads", "1"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert re.search(
        r"^\| test_vit \| [\d,]+ \| [\d,]+ \| [\d,]+ \| \d+\.\d\d \| \d\.\d\d \| – \| – \|$", done.stdout, re.M
    )


@pytest.mark.slow
def test_the_loader_bench_prints_a_row_a_store_and_block():
    options = ["--only-s3", "--latency", "5", "--samples", "512", "--rounds", "1"]
    command = [sys.executable, BENCH / "bench_loader.py", *options]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    for store in ("disk", "S3", "S3, 0 ms added by a proxy", "S3, 5 ms added by a proxy"):
        for block in (32, 256):
            assert re.search(
                rf"^\| {store} \| {block} \| [\d,]+ \| [\d,]+ (\| \d+\.\d+ ){{3}}\|.*\|$", done.stdout, re.M
            )


@pytest.mark.slow
def test_the_loader_bench_prints_a_row_a_size():
    command = [sys.executable, BENCH / "bench_loader.py", "--sizes", "--samples", "256", "--rounds", "1"]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    for size in (196, 168, 140, 112):
        assert re.search(rf"^\| {size} \| [\d,]+ \| \d\.\d\d \| [\d,]+ \| \d\.\d\d \|.*\|$", done.stdout, re.M)
        assert re.search(rf"^\| {size} \| \d+\.\d \| \d+ \| \d+\.\d \| × \d\.\d\d \|$", done.stdout, re.M)


@pytest.mark.slow
def test_the_probe_bench_prints_memory_within_what_it_states():
    size = ["--images", "40000", "--features", "64", "--classes", "50"]
    command = [sys.executable, BENCH / "bench_probe.py", *size]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    rows = re.findall(r"^\| ([\d,]+) \| 64 \| 50 \| float64 \| [\d.]+ \| (\d+) \| (\d+) \|$", done.stdout, re.M)
    assert [row[0] for row in rows] == ["10,000", "40,000"]
    assert all(int(beside) <= int(most) for _, beside, most in rows)


@pytest.mark.slow
def test_the_embedding_bench_prints_both_rates():
    command = [
        sys.executable,
        BENCH / "bench_embed.py",
        "--model",
        "test_resnet",
        "--images",
        "64",
        "--batch-size",
        "8",
    ]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert re.search(r"^\| test_resnet \| 64 \| [\d,.]+ \| [\d,.]+ \| \d\.\d{3} \|$", done.stdout, re.M)


@pytest.mark.slow
def test_the_bench_of_samples_draws_its_table_from_the_runs(dataset_folder, tmp_path):
    (tmp_path / "tasks.toml").write_text(
        f'[tasks.knn]\nkind = "knn"\nknn = 3\ndata = "{dataset_folder}"\nset.run.workers = 0\nset.run.device = "cpu"\n'
    )
    options = ["--dataset", dataset_folder, "--tasks", tmp_path / "tasks.toml", "--output", tmp_path / "runs"]
    options += ["--fractions", "0.5,1", "--seeds", 2, "--epochs", 2, "--batch-size", 8, "--image-size", 32]
    command = [sys.executable, BENCH / "samples.py", *options]
    for _ in range(2):  # the second time, all has been done
        done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
    rows = re.findall(
        r"^\| ([\d.]+) \| (\d+) \| (\d+) \| ([\d.]+) ± [\d.]+ \| ([\d.]+) ± [\d.]+ \[.*\] \|$", done.stdout, re.M
    )
    whole = [row[:3] for row in rows]
    assert whole == [("0.5", "46", "4"), ("1", "93", "2")]
    found = {}
    for fraction in ("0.5", "1"):
        paths = (tmp_path / "runs" / f"fraction-{fraction}-seed-{seed}" / "summary.json" for seed in range(2))
        scores = [json.loads(path.read_text())["val_semantic_top1"] for path in paths]
        found[fraction] = f"{50 * sum(scores):.1f}"
    assert {row[0]: row[3] for row in rows} == found
    assert (tmp_path / "runs/samples.svg").read_text().startswith("<?xml")
    assert (tmp_path / "runs/samples.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--fractions", "0,1"], "0.0 must be from 1e-06 to 1, with six digits at most"),
        (["--fractions", "1.5"], "1.5 must be from 1e-06 to 1"),
        (["--fractions", "0.1234567,0.1234568"], "0.1234567 must be from 1e-06 to 1, with six digits"),
        (["--fractions", "a"], "'a' is no list of numbers such as 0.0625,"),
        (["--seeds", "0"], "'0' is no whole number above 0"),
        (["--jobs", "-1"], "'-1' is no whole number above 0"),
    ],
)
def test_the_bench_of_samples_refuses_what_it_cannot_run(options, told, tmp_path):
    command = warm.python(BENCH / "samples.py", "--data", tmp_path, "--output", tmp_path / "out", *options)
    run = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert told in run.stderr.splitlines()[-1]
    assert not (tmp_path / "out").exists()


def write_benchmark(folder: Path, ranks: dict[str, list[list[int]]], first: int = 0) -> Path:
    """A benchmark of one task: of each label's runs, how many classes are before the own one of each image."""
    runs = []
    for label, own in ranks.items():
        for number, found in enumerate(own):
            run = f"runs/probe/{label}/checkpoint-{number}"
            (folder / run).mkdir(parents=True)
            keys = [f"image-{first * (label == 'other') + at}" for at in range(len(found))]
            pq.write_table(pa.table({"key": keys, "rank": pa.array(found)}), folder / run / "val_predictions.parquet")
            runs.append({"label": label, "task": "probe", "kind": "probe", "metric": "val_top1", "folder": run})
    (folder / "benchmark.json").write_text(json.dumps({"runs": runs}))
    return folder


def differences(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = warm.python(BENCH / "differences.py", *arguments)
    return subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)


def test_the_bench_of_differences_draws_the_same_images_for_both_labels(tmp_path):
    one = [0, 0, 0, 0, 0, 0, 0, 0, 5, 5]
    other = [0, 0, 0, 0, 5, 5, 0, 0, 5, 5]
    ranks = {"one": [one, other], "same": [other, one], "other": [other]}
    done = differences(write_benchmark(tmp_path / "benchmark", ranks), "--output", tmp_path / "rows.json")
    assert done.returncode == 0, done.stderr[-2000:]
    same, gained, _ = json.loads((tmp_path / "rows.json").read_text())
    assert (same["label"], same["other"], same["difference"], same["low"], same["high"]) == ("one", "same", 0, 0, 0)
    assert (gained["label"], gained["other"], gained["difference"]) == ("one", "other", pytest.approx(10))
    assert (gained["low"], gained["high"]) == pytest.approx((0, 25))  # 5 each time one of two images in ten is drawn
    assert "| probe | one − other | +10.0 | +0.0 to +25.0 |" in done.stdout.splitlines()


def test_the_bench_of_differences_refuses_runs_over_other_images(tmp_path):
    done = differences(write_benchmark(tmp_path, {"one": [[0, 5, 0]], "other": [[5, 5, 0]]}, first=1))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"{tmp_path}: the runs of probe do not have the same test images\n"

"""Training from shards over training from synthetic data on the device, and over timm's train script.

    python bench/bench_train_throughput.py DATASET [--model NAME …] [--batch-size N] [--steps N] [--timm-train FILE]

It measures four rates per model, in images per second of wall-clock time: the training step on one batch that is
already on the device; the loader alone, without a model; the training step on the loader's batches; and, if
--timm-train names timm's train.py, that script on the same shards. The first two bound the third. On a CPU everything
runs, but the figures mean little.
"""

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from in21k.train.config.overrides import with_values
from in21k.train.config.settings import Config
from in21k.train.data.prepared.dataset import Dataset, open_dataset
from in21k.train.device.ranks import join_ranks
from in21k.train.run.folder import Start
from in21k.train.run.resolve import resolved
from in21k.train.trainer.build import open_session
from in21k.train.trainer.session import Session
from in21k.train.trainer.throughput import WARM_UP, Rates, measure


def main() -> None:
    """Measure, and print a table."""
    options = parse()
    torch.set_num_threads(options.threads or torch.get_num_threads())
    dataset = open_dataset(options.dataset)
    print(f"torch {torch.__version__}, {device_name()}; batches of {options.batch_size}, {options.steps} steps\n")
    print("| model | synthetic | loader alone | streaming | of synthetic | waited | timm | of timm |")
    print("|---|---|---|---|---|---|---|---|")
    for model in options.model:
        with join_ranks(options.device) as ranks:
            config = resolved(configuration(options, model, dataset), dataset, ranks)
            session = open_session(config, dataset, ranks, Start(None, None))
            rounds = [measure(session, options.steps) for _ in range(options.rounds)]
        timm = timm_rate(options, model, session) if options.timm_train else None
        print(row(model, rounds, timm), flush=True)


def parse() -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", help="a prepared dataset's folder or URI")
    parser.add_argument("--model", action="append", help="timm's name; by default resnet50 and mobilenetv3_large_100")
    parser.add_argument("--batch-size", type=int, default=512)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=-1, help="loader processes; by default chosen by the CPUs")
    parser.add_argument("--threads", type=int, default=0, help="threads of torch on a CPU")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as for in21k-train")
    parser.add_argument("--timm-train", type=Path, help="train.py from timm's repository; the package lacks it")
    options = parser.parse_args()
    options.model = options.model or ["resnet50", "mobilenetv3_large_100"]
    return options


def configuration(options: argparse.Namespace, model: str, dataset: Dataset) -> Config:
    """Return a configuration with enough epochs for the steps."""
    per_epoch = max(dataset.manifest.samples("train") // options.batch_size, 1)
    values: dict[str, object] = {
        "model.name": model,
        "data.batch_size": options.batch_size,
        "optim.epochs": -(-(WARM_UP + options.steps) // per_epoch),
        "run.workers": options.workers,
        "run.device": options.device,
    }
    values.update(pair.split("=", 1) for pair in options.set)
    return with_values(Config(), values)


def device_name() -> str:
    """Return the GPU's name, or CPU."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"


def timm_rate(options: argparse.Namespace, model: str, session: Session) -> float:
    """Return the images per second of timm's train script, from the time between two of its log lines.

    It gets the same shards, loader processes, precision and RandAugment, but no Cutout and no crops.
    """
    data, on_gpu = session.config.data, session.ranks.device.type == "cuda"
    arguments = ["--data-dir", options.dataset, "--dataset", "wds/in21k", "--val-split", "val", "--model", model]
    arguments += ["--num-classes", len(session.dataset.hierarchy), "--img-size", data.image_size, "--epochs", 1]
    arguments += ["-b", data.batch_size, "-vb", data.batch_size, "-j", max(session.config.run.workers, 1)]
    arguments += ["--opt", "adamw", "--lr", "1e-4", "--warmup-epochs", 0, "--log-interval", 1, "--smoothing", 0.2]
    arguments += ["--scale", 1, 1, "--ratio", 1, 1, "--hflip", 0, "--mean", 0, 0, 0, "--std", 1, 1, 1]
    if data.randaugment_ops:
        arguments += ["--aa", f"rand-m{data.randaugment_magnitude}-n{data.randaugment_ops}"]
    arguments += ["--amp", "--amp-dtype", "bfloat16", "--channels-last"] if on_gpu else ["--device", "cpu"]
    with tempfile.TemporaryDirectory() as output:
        command = [sys.executable, options.timm_train, *arguments, "--output", output]
        return rate_between_lines([str(word) for word in command], options.steps, data.batch_size)


def rate_between_lines(command: list[str], steps: int, batch: int) -> float:
    """Return the images per second between a program's log lines of two steps, then terminate it.

    Raises:
        RuntimeError: the program ends before.
    """
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    lines, begun = [], 0.0
    try:
        for line in process.stdout:
            lines.append(line)
            if (match := re.search(r"Train: \d+ \[ *(\d+)/", line)) is None:
                continue
            step = int(match[1])
            if step == WARM_UP:
                begun = time.perf_counter()
            elif step == WARM_UP + steps:
                return steps * batch / (time.perf_counter() - begun)
    finally:
        process.terminate()
        process.wait()
    raise RuntimeError(f"timm's script ended before step {WARM_UP + steps}:\n{''.join(lines[-20:])}")


def row(model: str, rounds: list[Rates], timm: float | None) -> str:
    """Return a row of the table, with medians over rounds."""
    synthetic, loader, streaming, waited = (
        statistics.median(getattr(found, name) for found in rounds) for name in ("step", "loader", "both", "wait")
    )
    ours = (
        f"| {model} | {synthetic:,.0f} | {loader:,.0f} | {streaming:,.0f} | {streaming / synthetic:.2f} | {waited:.2f}"
    )
    return f"{ours} | – | – |" if timm is None else f"{ours} | {timm:,.0f} | {streaming / timm:.2f} |"


if __name__ == "__main__":
    main()

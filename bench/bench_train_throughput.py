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
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice, repeat
from pathlib import Path

import torch

from in21k.train.config.overrides import with_values
from in21k.train.config.settings import Config
from in21k.train.data.prepared.dataset import Dataset, open_dataset
from in21k.train.device.ranks import join_ranks
from in21k.train.run.folder import Start
from in21k.train.run.resolve import resolved
from in21k.train.stream.batch import Batch
from in21k.train.stream.loader import open_stream
from in21k.train.stream.prefetch import on_device
from in21k.train.stream.source import train_source
from in21k.train.trainer.build import open_session
from in21k.train.trainer.session import Session

WARM_UP = 10
"""Steps before the clock starts, in which cudnn chooses its kernels and loader processes fill their buffers."""


@dataclass(frozen=True)
class Rates:
    """Images per second in one round."""

    synthetic: float
    loader: float
    streaming: float
    waited: float
    """Share of the streaming steps' time spent waiting for data."""


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


def measure(session: Session, steps: int) -> Rates:
    """Return one round's rates."""
    with closing(batches(session)) as stream:
        batch = next(stream)
    session.train_module.train()
    synthetic = timed(session, repeat(batch), steps, session.train_step)
    with closing(batches(session)) as stream:
        loader = timed(session, stream, steps, lambda *_: None)
    wait = Waiting()
    with closing(batches(session)) as stream:
        streaming = timed(session, wait.measured(stream), steps, session.train_step)
    seconds = steps * session.plan.batch_size / streaming
    return Rates(synthetic, loader, streaming, wait.seconds / seconds)


def batches(session: Session) -> Generator[Batch]:
    """Return the training stream, its batches on the device."""
    on_gpu = session.ranks.device.type == "cuda"
    source = train_source(session.dataset, session.config)
    stream = open_stream(source, session.plan, workers=session.config.run.workers, pinned_bytes=2**32 if on_gpu else 0)
    return on_device(stream, session.ranks.device)


class Waiting:
    """Counts the time spent waiting for batches, after the warm-up."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def measured(self, stream: Iterator[Batch]) -> Iterator[Batch]:
        """Yield the batches of a stream."""
        for number in range(sys.maxsize):
            began = time.perf_counter()
            batch = next(stream)
            self.seconds += (time.perf_counter() - began) * (number >= WARM_UP)
            yield batch


def timed(session: Session, stream: Iterator[Batch], steps: int, step: Callable[[Batch, int], object]) -> float:
    """Return the images per second of `steps` steps after the warm-up."""
    for number, batch in enumerate(islice(stream, WARM_UP)):
        step(batch, number)
    synchronize(session)
    began = time.perf_counter()
    for number, batch in enumerate(islice(stream, steps), WARM_UP):
        step(batch, number)
    synchronize(session)
    return steps * session.plan.batch_size / (time.perf_counter() - began)


def synchronize(session: Session) -> None:
    """Wait until the device has finished."""
    if session.ranks.device.type == "cuda":
        torch.cuda.synchronize()


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
        statistics.median(getattr(found, name) for found in rounds)
        for name in ("synthetic", "loader", "streaming", "waited")
    )
    ours = (
        f"| {model} | {synthetic:,.0f} | {loader:,.0f} | {streaming:,.0f} | {streaming / synthetic:.2f} | {waited:.2f}"
    )
    return f"{ours} | – | – |" if timm is None else f"{ours} | {timm:,.0f} | {streaming / timm:.2f} |"


if __name__ == "__main__":
    main()

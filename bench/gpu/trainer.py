"""The trainer's commands, each in its own processes, and what they left behind: losses and summaries."""

import json
import math
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gpu.check import Failed, Skip
from gpu.made import made_once, small
from gpu.setup import Setup

BATCH, EPOCHS = 32, 3
STEPS = EPOCHS * (288 // BATCH)
"""Of a run on the small dataset."""

NO_COMPILER = "--compile needs a compiler"
FAULTY = Path(__file__).with_name("faulty_train.py")

_SETTINGS = {
    "run.log_steps": 1,
    "run.eval_epochs": EPOCHS,
    "run.checkpoint_steps": 12,
    "data.cutout": 0,
    "data.randaugment_ops": 0,
    "run.matmul_precision": "highest",
}
"""Of all runs: the pictures are too plain for augmentation, and float32 is to be float32."""

EXACT = ("--model", "test_vit", "--no-amp", "--lr", "1e-3")
"""A network without batch norm in float32: its losses depend neither on the device nor on how a batch is divided."""


def pretraining(setup: Setup, run: Path, *more: object, data: Path | None = None, device: str = "") -> list[str]:
    """Return the arguments of `in21k-train` for a short run on the small dataset.

    Args:
        setup: of the check.
        run: the run's folder.
        more: further options, the network among them.
        data: another dataset.
        device: another device than the check's.
    """
    words: list[object] = ["pretrain", data or small(setup), "--output", run, "--device", device or setup.device]
    words += ["--scratch", "--batch-size", BATCH, "--epochs", EPOCHS, "--lr", "5e-3", "--workers", setup.pick(0, 2)]
    for key, value in _SETTINGS.items():
        words += ["--set", f"{key}={value}"]
    return [str(word) for word in (*words, *more)]


def call(
    setup: Setup, name: str, arguments: list[str], processes: int = 1, fault: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run `in21k-train` and return how it ended; its output is also in the file NAME.log.

    Args:
        setup: of the check.
        name: of the log.
        arguments: of the command line.
        processes: ranks, started by torchrun if there are several.
        fault: STEP:RANK:SIGNAL, for `faulty_train.py` in the command's place.
    """
    command = launcher(processes) + ([str(FAULTY)] if fault else ["-m", "in21k.train"]) + arguments
    environment = {"OMP_NUM_THREADS": "1", **os.environ} | ({"FAULT": fault} if fault else {})
    log = setup.folder / f"{name}.log"
    setup.folder.mkdir(parents=True, exist_ok=True)
    with log.open("a") as errors:
        errors.write(f"$ {' '.join(command)}\n")
        errors.flush()
        start = log.stat().st_size
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment, check=False)
    said = log.read_text(errors="replace")[start:]
    return subprocess.CompletedProcess(command, done.returncode, done.stdout, said)


def launcher(processes: int) -> list[str]:
    """Return the beginning of the command for a number of ranks."""
    if processes == 1:
        return [sys.executable]
    return [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(processes), "--standalone"]


def require(done: subprocess.CompletedProcess[str]) -> str:
    """Return what a command printed, if it ended well.

    Raises:
        Skip: it was to compile, and there is no compiler.
        Failed: it ended with an error.
    """
    said = [line for line in done.stderr.splitlines() if "error:" in line] or done.stderr.splitlines() or [""]
    if done.returncode and NO_COMPILER in done.stderr:
        raise Skip(said[0])
    if done.returncode:
        raise Failed(f"exit status {done.returncode}: {said[-1]}")
    return done.stdout


def train(setup: Setup, name: str, *more: object, processes: int = 1, **changes: Any) -> Path:
    """Carry out a run on the small dataset to its end, and return its folder.

    Raises:
        Skip: it was to compile, and there is no compiler.
        Failed: it ended with an error.
    """
    run = setup.folder / name
    require(call(setup, name, pretraining(setup, run, *more, **changes), processes))
    return run


def reference(setup: Setup, name: str, *more: object) -> Path:
    """Return the run with these options on one CPU process in float32, which is carried out once for all checks."""
    home = setup.of(f"shared/{name}")

    def make(folder: Path) -> None:
        arguments = pretraining(home, folder / "run", *more, "--no-amp", device="cpu")
        require(call(home, "run", arguments))

    return made_once(setup.shared / f"reference-{name}", make) / "run"


def losses_of(run: Path) -> dict[int, float]:
    """Return a run's logged training loss by step.

    Raises:
        Failed: a step is logged twice.
    """
    rows = [line.split(",") for line in (run / "metrics.csv").read_text().splitlines()[1:]]
    steps = [int(row[0]) for row in rows if row[2] == "train"]
    if len(set(steps)) < len(steps):
        raise Failed(f"{run.name}: a step is logged twice")
    return {int(row[0]): float(row[3]) for row in rows if row[2] == "train"}


def summary_of(run: Path) -> dict[str, Any]:
    """Return a run's summary."""
    summary: dict[str, Any] = json.loads((run / "summary.json").read_text())
    return summary


def same_losses(found: Mapping[int, float], expected: Mapping[int, float], first: float, later: float) -> str:
    """Return how far the losses of two runs lie apart.

    Args:
        found: by step.
        expected: by step.
        first: the largest relative gap at the first step, before any rounding could add up.
        later: the same at all other steps.

    Raises:
        Failed: steps are missing, or a gap is too large.
    """
    if found.keys() != expected.keys():
        raise Failed(f"{len(found)} steps are logged, and {len(expected)} are expected")
    gaps = {step: abs(found[step] - loss) / abs(loss) for step, loss in expected.items()}
    for step, gap in sorted(gaps.items()):
        limit = first if step == min(gaps) else later
        if not gap <= limit:
            raise Failed(
                f"step {step}: loss {found[step]:.6g}, expected {expected[step]:.6g} (within {limit:g}, relative)"
            )
    return f"losses within {max(gaps.values()):.1g} of the expected ones"


def learns(losses: Mapping[int, float], share: float = 0.9) -> str:
    """Return how far the loss fell, if every step was logged and the loss fell below a share of what it was.

    Raises:
        Failed: it did not, or it is not finite.
    """
    values = [losses[step] for step in sorted(losses)]
    if len(values) != STEPS or not all(map(math.isfinite, values)):
        raise Failed(f"{len(values)} of {STEPS} losses are logged, and {sum(map(math.isfinite, values))} are finite")
    began, ended = (statistics.mean(part) for part in (values[:3], values[-6:]))
    if ended > share * began:
        raise Failed(f"the loss fell from {began:.4g} to {ended:.4g} only")
    return f"loss from {began:.3g} to {ended:.3g}"

"""The trainer as users run it, in its own processes, and the files of its runs."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import warm
from processes import descendants, lives, until
from spoken import without_progress

from in21k.train.cli.main import main
from in21k.train.config.overrides import with_values
from in21k.train.recipes import read_recipe
from in21k.train.trainer.loop import pretrain

PYTHON = sys.executable


def train_command(*arguments: object, processes: int = 1) -> list[str]:
    python = [PYTHON, "-m"]
    if processes > 1:
        python += ["torch.distributed.run", "--nproc-per-node", str(processes), "--standalone", "-m"]
    return [*python, "in21k.train", *map(str, arguments)]


def fork_command(*arguments: object, processes: int = 1) -> list[str]:
    """The same as a fork that need not import PyTorch."""
    return warm.python(*train_command(*arguments, processes=processes)[1:])


def run_train(*arguments: object, processes: int = 1, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    """Run the trainer's command line in its own processes."""
    command = fork_command(*arguments, processes=processes)
    return subprocess.run(
        command,
        env={**os.environ, "PYTHON_EXEC": command[0]},  # by which torchrun starts the ranks
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def train_losses(run: Path) -> dict[int, float]:
    """The logged training loss of each step."""
    rows = [line.split(",") for line in (run / "metrics.csv").read_text().splitlines()]
    return {int(row[0]): float(row[3]) for row in rows[1:] if row[2] == "train"}


def kill_at(step: int, run: Path, command: list[str]) -> None:
    """Start a run and kill it, with all its processes, once it has logged a step."""
    process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while not (run / "metrics.csv").exists() or max(train_losses(run), default=0) < step:
        assert process.poll() is None, "the run ended before the kill"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    below = descendants(process.pid)  # torchrun's ranks have sessions of their own
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for each in filter(lives, below):
        with suppress(ProcessLookupError):
            os.kill(each, signal.SIGKILL)
    until(lambda: not any(map(lives, below)))


def cut_at(run: Path, copy: Path, step: int) -> Path:
    """A copy of a run as it was when it was killed after a step."""
    shutil.copytree(run, copy)
    (copy / "summary.json").unlink()
    for folder in (copy / "checkpoints").iterdir():
        if int(folder.name.partition("-")[2]) > step:
            shutil.rmtree(folder)
    return copy


def summary_of(run: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((run / "summary.json").read_text())
    return loaded


def trained(dataset: Path, run: Path, model: str, recipe: str = "semantic-softmax", **settings: object) -> Path:
    """A run of one epoch by a recipe, in this process."""
    values = {"model.name": model, "model.start": "any", "optim.epochs": 1, "data.batch_size": 20}
    values |= {"run.device": "cpu", "run.workers": 0}
    pretrain(str(dataset), run, with_values(read_recipe(recipe), values | settings))
    return run


def answer(capsys, *arguments: object) -> tuple[int, str, str]:
    """Exit status, stdout and stderr of the command line, in this process; of stderr, not how far it has come."""
    with pytest.raises(SystemExit) as exited:
        main(list(map(str, arguments)))
    output = capsys.readouterr()
    return exited.value.code, output.out, without_progress(output.err)


OPTIONS = ["--epochs", 4, "--batch-size", 12]


FIXED = ["--model", "test_vit", "--scratch", "--image-size", "32", "--device", "cpu", "--lr", "2e-3"]
FIXED += ["--set", "run.log_steps=1"]


FAILING = """
import os, sys
from pathlib import Path
from in21k.train.trainer import loop
from in21k.train.cli.main import main
from in21k.train.config.overrides import with_values
from in21k.train.recipes import read_recipe
from in21k.train.trainer.loop import pretrain
from in21k.train.errors import TrainError
step, times = int(os.environ["FAIL_AT"]), int(os.environ["FAIL_TIMES"])
after_step = loop.Trainer._after_step
def failing(trainer):
    after_step(trainer)
    restarts = int(os.environ["TORCHELASTIC_RESTART_COUNT"])
    if trainer.tally.step == step and trainer.session.ranks.rank == 1 and restarts < times:
        Path(__file__).with_name("failed").touch()
        raise TrainError("rank 1 has had enough")
loop.Trainer._after_step = failing
if __name__ == "__main__":
    main()
"""

"""Checks of two processes, each with its device: equal losses, synchronized batch norm, interruptions."""

import os
import re
import socket
import subprocess
from functools import partial

from gpu.check import Failed, Outcome
from gpu.runs import FIRST, NETWORK, recipe
from gpu.setup import Setup
from gpu.trainer import (
    EXACT,
    FAULTY,
    call,
    launcher,
    losses_of,
    pretraining,
    reference,
    require,
    same_losses,
    summary_of,
    train,
)

STOP_AFTER = 7
OVER_SECONDS = 150
"""Within which a rank has to end by itself when the other is gone; docs say a minute, and a GPU may be busy."""

REFUSED = "model.sync_bn needs GPUs"
LOST = "in21k-train: error: another rank failed, see its error"


def synchronized_norms(setup: Setup) -> Outcome:
    """Check that two ranks with synchronized batch norm have the losses of one; on CPUs, that they are refused."""
    options = [*NETWORK, *recipe(setup, "semantic-softmax")]
    more = ["--no-amp", "--set", "model.sync_bn=true"]
    if not setup.on_gpu:
        done = call(setup, "run", pretraining(setup, setup.folder / "run", *options, *more), processes=2)
        if not done.returncode or REFUSED not in done.stderr:
            raise Failed(f"exit status {done.returncode}, without {REFUSED!r}")
        return Outcome("refused on CPUs, as it has to be")
    expected = losses_of(reference(setup, "semantic-softmax", *options))
    run = train(setup, "run", *options, *more, processes=2)
    return Outcome(same_losses(losses_of(run), expected, FIRST["float32"], 0.05))


def stopped(setup: Setup, processes: int) -> Outcome:
    """Check that SIGTERM ends a run with a checkpoint, from which one process goes on as if nothing had happened."""
    run = setup.folder / "run"
    arguments = pretraining(setup, run, *EXACT)
    done = call(setup, "stopped", arguments, processes, f"{STOP_AFTER}:{processes - 1}:SIGTERM")
    require(done)
    told = re.search(r"stopped by SIGTERM at step (\d+); continue with --resume", done.stderr)
    if told is None or (run / "summary.json").exists():
        raise Failed("SIGTERM did not stop the run")
    require(call(setup, "resumed", [*arguments, "--resume"]))
    if (resumed := summary_of(run)["resumed_at_step"]) != int(told[1]):
        raise Failed(f"it stopped at step {told[1]} and went on from step {resumed}")
    alike = same_losses(losses_of(run), losses_of(reference(setup, "exact", *EXACT)), FIRST["float32"], 0.02)
    return Outcome(f"stopped after step {told[1]} on {processes}, resumed on one; {alike}")


def killed(setup: Setup) -> Outcome:
    """Check that a rank ends by itself when the other is killed; nothing like torchrun ends it."""
    arguments = [str(FAULTY), *pretraining(setup, setup.folder / "run", *EXACT)]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "FAULT": "4:1:SIGKILL"}
    start = partial(subprocess.Popen, [*launcher(1), *arguments], stdout=subprocess.DEVNULL, text=True)
    first, second = (
        start(stderr=errors, env={"OMP_NUM_THREADS": "1", **os.environ, **shared, "RANK": rank, "LOCAL_RANK": rank})
        for rank, errors in (("0", subprocess.PIPE), ("1", subprocess.DEVNULL))
    )
    second.wait()
    try:
        _, said = first.communicate(timeout=OVER_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise Failed(f"rank 0 still waits for the killed one after {OVER_SECONDS} s") from error
    (setup.folder / "rank-0.log").write_text(said)
    lines = said.splitlines() or [""]
    if first.returncode == 1 and any(line.startswith(LOST) for line in lines):
        return Outcome("the other rank ended with its line")
    if setup.on_gpu and first.returncode < 0 and "NCCL" in said:
        return Outcome(f"NCCL ended the other rank itself (signal {-first.returncode})")
    raise Failed(f"rank 0 ended with {first.returncode}: {lines[-1]}")

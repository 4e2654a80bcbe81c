"""Ranks that are killed or hang, on machines without a torchrun to end the others: each ends by itself, in one line."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from train_runs import FIXED, OPTIONS, train_losses

SCRIPT = """
import os, signal, sys, time
from in21k.train.cli.main import main
from in21k.train.errors import TrainError
from in21k.train.trainer import loop, peers
peers.GRACE_SECONDS = 2.0
after_step, train_step = loop.Trainer._after_step, loop.Session.train_step
what, rank = os.environ["WHAT"], int(os.environ["RANK"])
def slow_start(session, batch, step):
    if what == "stops" and step == 0 and rank == 1:
        time.sleep(6)  # longer than a step may take
    return train_step(session, batch, step)
def failing(trainer):
    after_step(trainer)
    if trainer.tally.step == 4 and rank == 1:
        if "fails" in what:
            raise TrainError("enough")
        os.kill(os.getpid(), signal.SIGSTOP if what == "stops" else signal.SIGKILL)
    if trainer.tally.step == 4 and rank == 0 and "waits" in what:
        if "killed" in what:
            trainer._is_stopped()  # the exchange that follows each step, as it is when the all-reduce is under way
        time.sleep(3600)  # as a wait for an all-reduce that never ends
loop.Trainer._after_step, loop.Session.train_step = failing, slow_start
if __name__ == "__main__":
    main()
"""


def two_ranks(folder: Path, dataset: Path, what: str, script: str = SCRIPT) -> list[subprocess.Popen]:
    (folder / "script.py").write_text(script)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--output", folder / "run", *OPTIONS, "--workers", 0, *FIXED, "--set", "run.timeout_minutes=0.05"]
    command = [str(word) for word in [sys.executable, folder / "script.py", "pretrain", dataset, *options]]
    shared = {**os.environ, "WHAT": what, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
    return [
        subprocess.Popen(
            command, env={**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)}, stderr=subprocess.PIPE, text=True
        )
        for rank in range(2)
    ]


@pytest.mark.parametrize(
    "what",
    [
        pytest.param("killed", marks=pytest.mark.slow),
        pytest.param("killed while the other waits", marks=pytest.mark.guard),
        pytest.param("fails while the other waits", marks=pytest.mark.guard),
        pytest.param("stops", marks=pytest.mark.slow),
    ],
)
def test_a_rank_ends_with_a_line_when_it_loses_the_other(dataset_folder, tmp_path, what):
    first, second = two_ranks(tmp_path, dataset_folder, what)
    try:
        _, errors = first.communicate(timeout=240)
    finally:
        for each in (first, second):
            if each.poll() is None:
                each.kill()
            each.wait()
        second.stderr.close()
    assert first.returncode == 1, errors
    assert errors.splitlines()[-1].startswith("in21k-train: error: another rank failed, see its error ("), errors
    assert "Traceback" not in errors
    assert max(train_losses(tmp_path / "run")) >= 4


ASKING = """
from in21k.train.cli.main import main
from in21k.train.trainer import peers
look = peers.LossSign.seen
def often(sign):
    for _ in range(5000):  # nearly all of the time in the store's C++
        seen = look(sign)
    return seen
peers.LOOK_SECONDS, peers.LossSign.seen = 0.0, often
if __name__ == "__main__":
    main()
"""


@pytest.mark.guard
def test_ranks_end_well_while_their_peers_are_asked_for(dataset_folder, tmp_path):
    ranks = two_ranks(tmp_path, dataset_folder, "ends", ASKING)
    errors = [rank.communicate(timeout=240)[1] for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0, 0], errors

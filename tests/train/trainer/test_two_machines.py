"""Two torchrun agents, as on two machines: a rank that fails ends both, a restart resumes from the checkpoint."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from train_runs import FAILING, FIXED, OPTIONS, summary_of, train_losses

pytestmark = pytest.mark.guard


def run_on_two(folder: Path, dataset: Path, *torchrun: object, fail_times: int) -> list[tuple[int, str]]:
    """Exit status and stderr of both agents; rank 1, the second agent's, fails this many times."""
    (folder / "failing.py").write_text(FAILING)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nnodes", 2, "--nproc-per-node", 1, *torchrun]
    launcher += ["--rdzv-backend", "c10d", "--rdzv-endpoint", f"localhost:{port}", "--rdzv-id", "two"]
    options = ["--output", folder / "run", *OPTIONS, "--set", "run.checkpoint_steps=4", "--workers", 1, *FIXED]
    command = [str(word) for word in [*launcher, folder / "failing.py", "pretrain", dataset, *options]]
    environment = {**os.environ, "FAIL_AT": "10", "FAIL_TIMES": str(fail_times)}
    environment["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] = "1"
    agents = [subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    errors = [agent.communicate(timeout=500)[1] for agent in agents]
    return [(agent.returncode, error) for agent, error in zip(agents, errors, strict=True)]


def test_a_rank_that_fails_takes_both_machines_down(dataset_folder, tmp_path):
    ended = run_on_two(tmp_path, dataset_folder, fail_times=9)
    assert all(status for status, _ in ended)
    assert any("in21k-train: error: rank 1 has had enough" in errors for _, errors in ended)


def test_a_restart_resumes_on_both_machines(dataset_folder, tmp_path):
    ended = run_on_two(tmp_path, dataset_folder, "--max-restarts", 1, fail_times=1)
    assert [status for status, _ in ended] == [0, 0], [errors[-2000:] for _, errors in ended]
    assert summary_of(tmp_path / "run")["resumed_at_step"] == 8
    assert sorted(train_losses(tmp_path / "run")) == list(range(1, 29))

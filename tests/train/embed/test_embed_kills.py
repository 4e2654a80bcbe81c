"""Embeddings that are killed, and those of several processes: the bytes are those of a calm run."""

import os
import signal
import subprocess

import pytest
import timm
import torch
from commands import digests
from processes import until
from safetensors.torch import save_file
from small_dataset import write_dataset
from train_runs import run_train, train_command

MODEL = "mobilenetv3_large_100"
"""The order of its sums depends on the number of threads, unless that is set."""


@pytest.fixture(scope="module")
def command(tmp_path_factory):
    """A command on 93 training and 17 val images, but for the folder that it writes."""
    folder = tmp_path_factory.mktemp("embed")
    torch.manual_seed(0)
    save_file(timm.create_model(MODEL).state_dict(), folder / "weights.safetensors")
    batches = ["--batch-size", 8, "--rows-per-file", 6, "--workers", 1, "--dtype", "float32"]
    how = ["--checkpoint", folder / "weights.safetensors", "--model", MODEL, "--image-size", 64, "--device", "cpu"]
    return ["embed", write_dataset(folder / "data"), *how, *batches]


@pytest.fixture(scope="module")
def calm(command, tmp_path_factory):
    out = tmp_path_factory.mktemp("calm") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "2")  # torchrun gives its ranks one
        done = run_train(*command, "--output", out)
    assert done.returncode == 0, done.stderr
    return digests(out)


@pytest.mark.guard
def test_three_kills_leave_the_bytes_of_a_calm_run(command, calm, tmp_path):
    out = tmp_path / "out"

    def whole() -> int:
        return len(list(out.glob("embeddings-*.parquet")))

    for kill in range(3):
        run = subprocess.Popen(
            train_command(*command, "--output", out, "--resume"), start_new_session=True, stderr=subprocess.DEVNULL
        )
        target = whole() + 3
        until(lambda target=target, run=run: whole() >= target or run.poll() is not None)
        assert run.poll() is None, f"it ended before kill {kill}"
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()
        assert not (out / "embeddings.json").exists()
    (out / ".tmp-0a0b0c0d-embeddings-00007.parquet").write_bytes(b"half a file")
    last = run_train(*command, "--output", out, "--resume")
    assert last.returncode == 0, last.stderr
    assert digests(out) == calm


@pytest.mark.slow
def test_two_processes_leave_the_bytes_of_one(command, calm, tmp_path):
    done = run_train(*command, "--output", tmp_path / "out", processes=2)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("images per second") == 1
    assert digests(tmp_path / "out") == calm

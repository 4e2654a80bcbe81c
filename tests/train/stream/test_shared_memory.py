"""A container without --shm-size: /dev/shm is small, or too small for loader processes."""

import subprocess
import sys

import pytest
from commands import PREP, one_line
from dumps import PIPELINE
from shared_memory import with_shared_memory
from spoken import without_progress
from train_runs import FIXED, train_command

HELD = """
import sys
from in21k.train.data.partition import TrainPlan
from in21k.train.data.prepared.dataset import open_dataset
from in21k.train.stream.loader import open_stream
from in21k.train.stream.source import StreamSource

if __name__ == "__main__":
    dataset = open_dataset(sys.argv[1])
    source = StreamSource(dataset.reader("train"), dataset.decoding(224))
    plan = TrainPlan(dataset.shard_lengths("train"), seed=0, epochs=2, global_batch=12)
    held = [[batch.images.long().sum().item() for batch in list(open_stream(source, plan, workers=n))] for n in (0, 1)]
    assert held[0] == held[1]
"""


@pytest.mark.guard
def test_batches_that_are_held_need_no_shared_memory(dataset_folder, tmp_path):
    script = tmp_path / "held.py"
    script.write_text(HELD)
    command = with_shared_memory("1M", sys.executable, script, dataset_folder)
    run = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert (run.returncode, run.stderr) == (0, "")


@pytest.mark.slow  # prep answers by the same code, below
def test_loader_processes_that_cannot_start_for_lack_of_shared_memory_are_one_line(dataset_folder, tmp_path):
    arguments = ("--output", tmp_path / "run", *FIXED, "--workers", 1, "--epochs", 1, "--batch-size", 12)
    command = with_shared_memory("4k", *train_command("pretrain", dataset_folder, *arguments))
    run = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert (run.returncode, run.stdout) == (1, "")
    assert without_progress(run.stderr) == (
        "in21k-train: error: shared memory (/dev/shm): No space left on device, but processes that work together need "
        "a little of it; pass --workers 0, or give the container more (docker run --shm-size=64m)\n"
    )


def test_workers_that_cannot_start_for_lack_of_shared_memory_are_one_line(small_dump, tmp_path):
    arguments = ("run", small_dump, tmp_path / "work", tmp_path / "out", *PIPELINE, "--force", "--workers", 1)
    run = subprocess.run(
        with_shared_memory("4k", *PREP, *arguments), capture_output=True, text=True, timeout=200, check=False
    )
    assert one_line(run) == (
        "in21k-prep: error: shared memory (/dev/shm): No space left on device, but processes that work together need "
        "a little of it; give the container more (docker run --shm-size=64m)"
    )

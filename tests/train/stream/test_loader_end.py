"""The watch that a loader process keeps over its trainer."""

import subprocess

import warm


def test_a_loader_process_whose_trainer_is_gone_before_it_looks_ends_at_once():
    trainer = subprocess.Popen(["true"])
    trainer.wait()
    code = f"from in21k.train.stream.loader import _end_with; _end_with({trainer.pid})"
    run = subprocess.run(warm.python("-c", code), check=False, capture_output=True)
    assert (run.returncode, run.stderr) == (1, b"")

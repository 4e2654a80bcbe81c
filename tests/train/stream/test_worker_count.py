"""How many loader processes a rank starts by default."""

import os

import pytest

from in21k.train.stream import worker_count
from in21k.train.stream.worker_count import available_cpus, available_memory, default_workers

GB = 10**9
HERE = len(os.sched_getaffinity(0))


@pytest.fixture
def group(tmp_path, monkeypatch):
    """The folder of a control group that limits nothing yet, on a machine of 64 CPUs."""
    monkeypatch.setattr(worker_count, "_CGROUP", tmp_path)
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(64)))
    (tmp_path / "cpu").mkdir()
    (tmp_path / "memory").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("cpus", "ranks", "workers"), [(1, 1, 0), (2, 1, 1), (7, 1, 6), (7, 2, 3), (7, 8, 0), (256, 1, 255), (256, 8, 31)]
)
def test_they_are_the_cpus_at_hand_but_one_divided_among_the_ranks(monkeypatch, cpus, ranks, workers):
    monkeypatch.setattr(worker_count, "available_cpus", lambda: cpus)
    monkeypatch.setattr(worker_count, "available_memory", lambda: 1000 * GB)
    assert default_workers(ranks, 256 * 224 * 224 * 3) == workers


@pytest.mark.parametrize(
    ("memory", "ranks", "workers"), [(64 * GB, 1, 7), (64 * GB, 2, 3), (GB, 1, 1), (1000 * GB, 1, 63)]
)
def test_their_batches_fit_into_a_quarter_of_the_memory(monkeypatch, memory, ranks, workers):
    monkeypatch.setattr(worker_count, "available_cpus", lambda: 64 * ranks)
    monkeypatch.setattr(worker_count, "available_memory", lambda: memory)
    assert default_workers(ranks, 3328 * 224 * 224 * 3) == workers


@pytest.mark.parametrize(
    ("files", "cpus"),
    [
        ({}, 64),
        ({"cpu.max": "max 100000"}, 64),
        ({"cpu.max": "650000 100000"}, 6),
        ({"cpu.max": "20000 100000"}, 1),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 64),
        ({"cpu/cpu.cfs_quota_us": "400000", "cpu/cpu.cfs_period_us": "100000"}, 4),
    ],
)
def test_a_containers_quota_of_cpus_counts(group, files, cpus):
    for name, text in files.items():
        (group / name).write_text(f"{text}\n")
    assert available_cpus() == cpus


@pytest.mark.parametrize("name", ["memory.max", "memory/memory.limit_in_bytes"])
def test_a_containers_limit_of_memory_counts(group, name):
    whole = available_memory()
    (group / name).write_text("100000000\n")
    assert available_memory() == 10**8 < whole
    (group / name).write_text("max\n")
    assert available_memory() == whole

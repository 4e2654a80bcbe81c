"""Tasks on workers that die, fail or fill the disk; and a Dask cluster of which one worker is killed."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from commands import RefusedError, call, digests
from dumps import PIPELINE, jpeg, make_dump
from processes import children, lives, until

from in21k.prep.errors import PrepError
from in21k.prep.executor import Workers, run_tasks
from in21k.shards_manifest.errors import NoSpaceError, StoreError
from in21k.tree.wordnet import load_wordnet

TROUBLES = {
    "full": NoSpaceError("disk: no space left"),
    "gone": StoreError("bucket: no answer"),
    "fail": ValueError("it\nfailed"),
}


@dataclass(frozen=True)
class Task:
    """A task that leaves a mark in a folder each time it starts."""

    number: int
    folder: Path
    trouble: str = ""
    times: int = 0

    @property
    def name(self) -> str:
        return f"class {self.number}"

    def attempts(self) -> int:
        return len(list(self.folder.glob(f"{self.number}-*")))


def work(task: Task) -> int:
    """Do as the task says (in a worker)."""
    attempt = task.attempts() + 1
    (task.folder / f"{task.number}-{attempt}").touch()
    if attempt <= task.times:
        if task.trouble == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        raise TROUBLES[task.trouble]
    time.sleep(0.01)
    return task.number


def test_all_results_come_from_all_workers(tmp_path):
    tasks = [Task(number, tmp_path) for number in range(20)]
    assert sorted(run_tasks(work, tasks, Workers(2))) == list(range(20))


@pytest.mark.parametrize("trouble", ["kill", "fail"])
def test_a_task_may_fail_twice(tmp_path, trouble):
    tasks = [Task(number, tmp_path, trouble, 2 * int(number == 1)) for number in range(3)]
    assert sorted(run_tasks(work, tasks, Workers(2))) == [0, 1, 2]
    assert tasks[1].attempts() == 3


def wait_for_the_others(task: Task) -> int:
    """Finish at once, but the first task after all others (in a worker)."""
    if task.number == 0:
        until(lambda: len(list(task.folder.iterdir())) == 4)
    (task.folder / str(task.number)).touch()
    return task.number


def test_results_come_in_the_order_in_which_tasks_finish(tmp_path):
    tasks = [Task(number, tmp_path) for number in range(5)]
    assert list(run_tasks(wait_for_the_others, tasks, Workers(2)))[-1] == 0


@pytest.mark.parametrize("trouble", ["kill", "fail"])
def test_a_task_that_fails_once_runs_again(tmp_path, trouble):
    tasks = [Task(number, tmp_path, trouble, int(number == 3)) for number in range(8)]
    assert sorted(run_tasks(work, tasks, Workers(2))) == list(range(8))
    assert tasks[3].attempts() == 2


@pytest.mark.parametrize(
    ("trouble", "complaint"),
    [
        ("kill", r"its worker process died \(out of memory, or killed\)"),
        ("fail", "it failed; run the same command again"),
    ],
)
def test_a_task_that_always_fails_is_named_in_the_end_and_the_others_are_done(tmp_path, trouble, complaint):
    tasks = [Task(number, tmp_path, trouble, 99 if number == 3 else 0) for number in range(8)]
    wanted = rf"^1 task\(s\) failed 3 times, all others are done; the first: class 3: {complaint}"
    with pytest.raises(PrepError, match=wanted):
        list(run_tasks(work, tasks, Workers(2)))
    assert all(task.attempts() for task in tasks)
    assert tasks[3].attempts() == (3 if trouble == "fail" else 4)  # the first death had several suspects


@pytest.mark.parametrize("trouble", ["full", "gone"])
def test_a_full_disk_or_a_store_that_is_gone_ends_the_run_at_once(tmp_path, trouble):
    tasks = [Task(number, tmp_path, trouble, 99 if number == 0 else 0) for number in range(100)]
    with pytest.raises(type(TROUBLES[trouble]), match=r"no space left|no answer"):
        list(run_tasks(work, tasks, Workers(1)))
    assert tasks[0].attempts() == 1
    assert len(list(tmp_path.iterdir())) < 20


def test_tasks_are_taken_only_as_workers_become_free(tmp_path):
    taken = 0

    def tasks():
        nonlocal taken
        for number in range(50):
            taken += 1
            yield Task(number, tmp_path)

    for done, _ in enumerate(run_tasks(work, tasks(), Workers(1))):
        assert taken <= done + 5


def test_no_worker_outlives_an_abandoned_run(tmp_path):
    results = run_tasks(work, [Task(number, tmp_path) for number in range(50)], Workers(2))
    next(results)
    workers = [pid for server in children(os.getpid()) for pid in children(server)]
    assert len(workers) == 2
    results.close()
    until(lambda: not any(map(lives, workers)))


# A Dask cluster over loopback: a scheduler and two workers, each its own process.

LONG = ("--min-images", 4, "--val-per-class", 1, "--size", 64, "--samples-per-shard", 20)


@pytest.fixture(scope="module")
def long_dump(tmp_path_factory):
    """Forty classes with five images each, which take a while to decode."""
    slow = [jpeg(seed, (900, 900)) for seed in range(5)]
    wnids = list(load_wordnet())[20_000:20_400:10]
    classes = {wnid: [(f"{wnid}_{number}.JPEG", data) for number, data in enumerate(slow)] for wnid in wnids}
    return make_dump(tmp_path_factory.mktemp("long") / "long.tar", classes)


@pytest.fixture
def cluster():
    """The address of a scheduler, and its two workers."""
    pytest.importorskip("distributed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    address = f"tcp://127.0.0.1:{port}"
    commands = [
        ("dask_scheduler", "--host", "127.0.0.1", "--port", port, "--no-show"),
        *[("dask_worker", address, "--no-nanny", "--nthreads", "1")] * 2,
    ]
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", f"distributed.cli.{module}", "--no-dashboard", *options],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for module, *options in commands
    ]
    try:
        yield address, processes[1:]
    finally:
        for process in reversed(processes):
            process.kill()
            process.wait()


def wait_for_workers(address: str, count: int) -> None:
    from distributed import Client

    with Client(address, set_as_default=False, timeout=60) as client:
        client.wait_for_workers(count, timeout=60)


@pytest.mark.guard
def test_dask_gives_the_same_files_although_a_worker_is_killed(long_dump, cluster, tmp_path):
    calm, with_dask = digests_of_both(long_dump, cluster, tmp_path, LONG)
    assert with_dask == calm


@pytest.mark.slow
@pytest.mark.real
def test_dask_gives_the_same_files_of_mini21k_although_a_worker_is_killed(real_data, cluster, tmp_path):
    calm, with_dask = digests_of_both(real_data / "mini21k.tar", cluster, tmp_path, ("--samples-per-shard", 2000))
    assert with_dask == calm


def digests_of_both(raw: Path, cluster, folder: Path, options: tuple) -> tuple[dict[str, str], dict[str, str]]:
    """Return the digests of a run on this machine, and of one on a cluster that loses a worker during resize."""
    address, workers = cluster
    call("run", raw, folder / "calm-work", folder / "calm", *options, "--workers", 2)
    wait_for_workers(address, 2)
    killer = threading.Thread(target=kill_when_parts_appear, args=(folder / "work" / "parts", workers[0]))
    killer.start()
    call("run", raw, folder / "work", folder / "out", *options, "--executor", "dask", "--scheduler", address)
    killer.join()
    assert workers[0].poll() == -signal.SIGKILL
    assert workers[1].poll() is None
    return digests(folder / "calm"), digests(folder / "out")


def kill_when_parts_appear(parts: Path, worker: subprocess.Popen) -> None:
    until(lambda: len(list(parts.glob("part-*[0-9].parquet"))) >= 3)
    worker.kill()


def test_a_scheduler_that_does_not_answer_is_one_line(long_dump, tmp_path, monkeypatch):
    pytest.importorskip("distributed")
    import dask

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "1s"}),
        pytest.raises(RefusedError, match=f"--scheduler {address}: no Dask scheduler answers"),
    ):
        call("run", long_dump, tmp_path / "work", tmp_path / "out", *LONG, "--executor", "dask", "--scheduler", address)


def test_dask_gives_the_same_files(small_dump, dataset, tmp_path):
    distributed = pytest.importorskip("distributed")
    options = {"processes": False, "protocol": "tcp", "n_workers": 1, "threads_per_worker": 1}
    with distributed.LocalCluster(dashboard_address=None, **options) as cluster:
        address = cluster.scheduler_address
        where = ("--executor", "dask", "--scheduler", address)
        call("run", small_dump, tmp_path / "work", tmp_path / "out", *PIPELINE, *where)
    assert digests(tmp_path / "out") == digests(dataset.out)

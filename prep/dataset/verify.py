"""Verification of a prepared dataset with a progress bar, on threads or, where images are decoded, on processes."""

from in21k.prep.executor import Workers, run_tasks
from in21k.prep.progress_bar import progress_bar
from in21k.shards_manifest.storage.location import Location
from in21k.shards_manifest.verify.checks import Runner, Verdict, in_threads, verify
from in21k.shards_manifest.verify.findings import Depth


def check_dataset(dataset: Location, level: Depth, workers: Workers) -> Verdict:
    """Return what is wrong with a prepared dataset.

    Args:
        dataset: the folder or prefix that `shard` wrote.
        level: how deep to look.
        workers: who reads the shards.

    Raises:
        DatasetError: there is no dataset, or a worker cannot be kept alive.
    """
    with progress_bar("verify", "shard", 0) as bar:

        def advance(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        return verify(dataset, level, _runner(level, workers), advance)


def _runner(level: Depth, workers: Workers) -> Runner:
    if level is Depth.DEEP and (workers.count > 1 or workers.scheduler):
        return lambda function, tasks: run_tasks(function, tasks, workers)
    return in_threads(workers.count)

"""Verification of a prepared dataset with a progress bar, on threads, or on processes if images are decoded."""

from in21k.prep.executor import Workers, run_tasks
from in21k.shards_manifest.command.progress import Progress
from in21k.shards_manifest.storage.location import Location
from in21k.shards_manifest.verify.checks import Runner, Verdict, in_threads, verify
from in21k.shards_manifest.verify.findings import Depth


def check_dataset(dataset: Location, depth: Depth, workers: Workers) -> Verdict:
    """Return what is wrong with a prepared dataset.

    Args:
        dataset: the folder or prefix that `shard` wrote.
        depth: how deep to look.
        workers: who reads the shards.

    Raises:
        DatasetError: there is no dataset, or workers keep dying.
    """
    with Progress("verify", "shard", 0) as bar:
        return verify(dataset, depth, _runner(depth, workers), bar.reach)


def _runner(depth: Depth, workers: Workers) -> Runner:
    if depth is Depth.DEEP and (workers.count > 1 or workers.scheduler):
        return lambda function, tasks: run_tasks(function, tasks, workers)
    return in_threads(workers.count)

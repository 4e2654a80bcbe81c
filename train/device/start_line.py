"""What a command computes on, in a line: it is said at the start, before an hour on the wrong device."""

import sys

from in21k.train.config.settings import RunConfig
from in21k.train.device.choice import device_name
from in21k.train.device.precision import compute_dtype
from in21k.train.device.ranks import Ranks


def print_start(ranks: Ranks, run: RunConfig, images: int) -> None:
    """Print device, precision, processes and images per step to stderr; only the first rank does.

    Args:
        ranks: this rank among the others.
        run: resolved.
        images: per step, over all ranks.
    """
    if ranks.is_first:
        print(start_line(ranks, run, images), file=sys.stderr, flush=True)


def start_line(ranks: Ranks, run: RunConfig, images: int) -> str:
    """Return the line that `print_start` prints."""
    dtype = str(compute_dtype(ranks.device, run.amp, run.amp_dtype)).removeprefix("torch.")
    processes = "1 process" if ranks.world_size == 1 else f"{ranks.world_size} processes"
    loaders = "1 loader process" if run.workers == 1 else f"{run.workers} loader processes"
    each = " each" if ranks.world_size > 1 else ""
    name = device_name(ranks.device)
    return f"computing on {name} in {dtype}: {processes} with {loaders}{each}, {images:,} images per step"

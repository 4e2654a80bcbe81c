"""The header of a command that computes: what it does, and on what, said before an hour of the wrong thing."""

from collections.abc import Iterator, Mapping

from torch import nn

from in21k.shards_manifest.command.numbers import counted
from in21k.shards_manifest.command.progress import tell
from in21k.shards_manifest.errors import one_line
from in21k.train.config.settings import RunConfig
from in21k.train.device.choice import device_name
from in21k.train.device.precision import compute_dtype
from in21k.train.device.ranks import Ranks

LABELS = ("model", "weights", "teacher", "data", "recipe", "images", "step", "epochs", "device", "processes")
"""What the lines of a header begin with, in their order; a header has some of them."""

_WIDTH = max(map(len, LABELS)) + 2


def print_header(ranks: Ranks, run: RunConfig, facts: Mapping[str, str], left_out: str = "") -> None:
    """Print what a command does and on what to stderr; only the first rank does.

    Args:
        ranks: this rank among the others.
        run: resolved.
        facts: what it does, by label of `LABELS`; what it computes on is added.
        left_out: which files among the images are not read, in words; nothing is said if it is empty.
    """
    if ranks.is_first:
        tell("\n".join(header_lines(ranks, run, facts)))
        tell_left_out(left_out)


def tell_left_out(left_out: str) -> None:
    """Say which files among images are not read, if there are any."""
    if left_out:
        tell(one_line(f"note: left out: {left_out}", None))


def header_lines(ranks: Ranks, run: RunConfig, facts: Mapping[str, str]) -> Iterator[str]:
    """Yield the lines that `print_header` prints."""
    dtype = str(compute_dtype(ranks.device, run.amp, run.amp_dtype)).removeprefix("torch.")
    loaders = counted(run.workers, "loader process")
    each = " each" if ranks.world_size > 1 else ""
    computes = {
        "device": f"{device_name(ranks.device)}, in {dtype}",
        "processes": f"{ranks.world_size}, with {loaders}{each}",
    }
    for label in LABELS:
        if text := {**facts, **computes}.get(label):
            yield f"{label:<{_WIDTH}}{one_line(text, None)}"


def step_text(batch: int, ranks: Ranks, accumulate: int = 1, unit: str = "images") -> str:
    """Return how a step's images are divided.

    Args:
        batch: images of a step, over all ranks.
        ranks: this rank among the others.
        accumulate: micro-batches of each rank.
        unit: what they are.
    """
    each = batch // (ranks.world_size * accumulate)
    parts = [f"{each:,}"]
    if ranks.world_size > 1:
        parts.append(f"{ranks.world_size} processes")
    if accumulate > 1:
        parts.append(f"{accumulate} micro-batches")
    return f"{batch:,} {unit}" + (f" = {' x '.join(parts)}" if parts[1:] else "")


def data_text(name: str, classes: int, images: Mapping[str, int], unit: str = "images") -> str:
    """Return what data are: their name, the number of their classes, and of the images of each split."""
    splits = " and ".join(f"{count:,} {split}" for split, count in images.items())
    return f"{name}: {counted(classes, 'class')}, {splits} {unit}"


def model_text(name: str, module: nn.Module) -> str:
    """Return a model's name and the number of its parameters."""
    count = sum(parameter.numel() for parameter in module.parameters())
    return f"{name}, {count / 1e6:,.1f} million parameters"

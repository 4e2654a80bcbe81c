"""The options of the commands from a raw dump to a dataset, and the choices that they make."""

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import click

from in21k.prep.cli.selection import selection_options
from in21k.prep.cli.shared import parents_option, source_options
from in21k.prep.images.parameters import DEFAULT_MEMORY, Filter, OnWarning, ResizeParameters
from in21k.prep.stages.split_parameters import Order, SplitParameters
from in21k.shards_manifest.command.help import Command, option
from in21k.shards_manifest.command.options import PLACE, Size, json_option
from in21k.shards_manifest.manifest import ImageFormat, ResizeMode
from in21k.tree.parents import ParentRule

if TYPE_CHECKING:
    from in21k.prep.executor import Workers
    from in21k.prep.stages.shard import ShardParameters
raw_argument = click.argument(
    "raw",
    metavar="RAW",
    type=PLACE,
    help="The dump as it was downloaded: a path, or an s3://, gs:// or hf:// URI; it is only read.",
)
work_argument = click.argument(
    "work", metavar="WORK", type=PLACE, help="The folder for what one stage passes to the next."
)
out_argument = click.argument("out", metavar="OUT", type=PLACE, help="The dataset to write: a folder, or an s3:// URI.")


def _choice(name: str, default: StrEnum, text: str) -> Callable[[Command], Command]:
    """Return an option that takes the values of the default's enumeration."""
    values = click.Choice([member.value for member in type(default)])
    return option(name, type=values, default=default.value, help=text)


filter_options = (
    option("--min-images", default=500, metavar="N", help="Drop classes with fewer images than this."),
    *selection_options,
    *source_options,
)
split_options = (
    option("--val-per-class", default=50, metavar="N", help="Images per class to hold out for validation."),
    _choice(
        "--order",
        Order.NAME,
        "Hold out the first images by name (as in the published split) or by a keyed hash (unbiased).",
    ),
    option("--seed", default=0, metavar="N", help="Seed of the global shuffle and of --order hash."),
)
resize_options = (
    option("--size", default=224, metavar="PIXELS", help="Side of the images in pixels."),
    _choice(
        "--mode",
        ResizeMode.SQUISH,
        "Squish images to a square, keep their aspect ratio, or keep it and crop the center.",
    ),
    _choice("--filter", Filter.BICUBIC, "Resampling filter; resizing is always antialiased."),
    _choice("--format", ImageFormat.JPEG, "Format in which images are written."),
    option("--quality", default=95, metavar="Q", help="Quality of JPEG or WebP images, 1 to 100."),
    _choice(
        "--on-warning", OnWarning.KEEP, "Keep or reject a JPEG that decodes despite damage; it is counted either way."
    ),
    option(
        "--compat",
        type=click.Choice(["", "reference"]),
        default="",
        metavar="reference",
        help="With `reference`, produce the authors' pixels (OpenCV, not antialiased), to compare published numbers.",
    ),
    option(
        "--memory",
        type=Size(),
        default=DEFAULT_MEMORY,
        show_default="600MiB",
        help="Memory of a worker and of an image.",
    ),
)
shard_options = (
    option("--samples-per-shard", default=10_000, metavar="N", help="Samples per shard; the last one may have fewer."),
    parents_option,
)
worker_options = (
    option(
        "--workers",
        type=int,
        metavar="N",
        show_default="the CPUs available",
        help="Worker processes on this machine.",
    ),
    option(
        "--executor",
        type=click.Choice(["local", "dask"]),
        default="local",
        help="Where the work is done: in processes on this machine, or on a Dask cluster.",
    ),
    option(
        "--scheduler",
        default="",
        metavar="ADDRESS",
        help="With --executor dask: the scheduler's address, such as tcp://host:8786.",
    ),
    json_option,
)


def chosen_split(chosen: Mapping[str, Any]) -> SplitParameters:
    """Return the choices about `split`."""
    return SplitParameters(chosen["val_per_class"], Order(chosen["order"]), chosen["seed"])


def chosen_resize(chosen: Mapping[str, Any]) -> ResizeParameters:
    """Return the choices about `resize`."""
    if chosen["compat"]:
        import cv2  # noqa: F401 - if it is missing, say so before workers start
    return ResizeParameters(
        size=chosen["size"],
        quality=chosen["quality"],
        filter=Filter(chosen["filter"]),
        mode=ResizeMode(chosen["mode"]),
        format=ImageFormat(chosen["format"]),
        on_warning=OnWarning(chosen["on_warning"]),
        compat=chosen["compat"],
    )


def chosen_shard(chosen: Mapping[str, Any]) -> "ShardParameters":
    """Return the choices about `shard`, and what is dropped before it."""
    from in21k.prep.stages.drop import DropParameters
    from in21k.prep.stages.shard import ShardParameters

    drop = DropParameters.of(chosen["drop_duplicates"], chosen["distance"])
    return ShardParameters(
        samples_per_shard=chosen["samples_per_shard"],
        parents=ParentRule(chosen["parents"]),
        drop_duplicates=",".join(drop.kinds),
        distance=drop.distance,
    )


def chosen_workers(chosen: Mapping[str, Any]) -> "Workers":
    """Return who does the work.

    Raises:
        UsageError: `--executor dask` and `--scheduler` are not given together.
    """
    from in21k.prep.executor import Workers, available_cores

    if (chosen["executor"] == "dask") != bool(chosen["scheduler"]):
        raise click.UsageError("--executor dask and --scheduler ADDRESS go together: give both or neither")
    count = available_cores() if chosen["workers"] is None else chosen["workers"]
    return Workers(count, chosen["scheduler"])

"""The commands that take a raw dump to a dataset: filter, split, resize, shard, run, and demo, which draws a dump."""

from pathlib import Path
from typing import Any

import click

from in21k.prep import filter as filter_stage
from in21k.prep.cli_group import Bytes, json_option, parents_option, print_summary
from in21k.prep.demo import draw_dump
from in21k.prep.executor import available_cores
from in21k.prep.imaging import Filter, ResizeParameters, is_simd
from in21k.prep.resize import DEFAULT_MEMORY, resize_images
from in21k.prep.shard import ShardParameters, write_shards
from in21k.prep.split import Order, SplitParameters, split_images
from in21k.shards_manifest.manifest import Manifest
from in21k.tree.parents import ParentRule

_SLOW_PILLOW = (
    "note: stock Pillow resizes at about 0.6 of the speed of pillow-simd; docs/decisions.md says how to install that"
)


raw_argument = click.argument("raw", metavar="RAW")
work_argument = click.argument("work", metavar="WORK", type=click.Path(path_type=Path))
out_argument = click.argument("out", metavar="OUT", type=click.Path(path_type=Path))
min_images_option = click.option(
    "--min-images", default=500, show_default=True, help="Drop classes with fewer images than this."
)
val_option = click.option(
    "--val-per-class", default=50, show_default=True, help="Images of each class to hold out for validation."
)
order_option = click.option(
    "--order",
    type=click.Choice([order.value for order in Order]),
    default=Order.NAME.value,
    show_default=True,
    help="Hold out the first images by name (as the published split) or by a keyed hash (unbiased).",
)
seed_option = click.option("--seed", default=0, show_default=True, help="Of the global shuffle and of --order hash.")
size_option = click.option("--size", default=224, show_default=True, help="Side of the square images, in pixels.")
quality_option = click.option("--quality", default=95, show_default=True, help="JPEG quality, 1 to 100.")
filter_option = click.option(
    "--filter",
    "resampling",
    type=click.Choice([name.value for name in Filter]),
    default=Filter.BICUBIC.value,
    show_default=True,
    help="Resampling filter, always antialiased.",
)
workers_option = click.option("--workers", type=int, default=None, help="Processes.  [default: the cores at hand]")
memory_option = click.option(
    "--memory", type=Bytes(), default=DEFAULT_MEMORY, show_default="600MB", help="Memory that a worker may take."
)
samples_option = click.option(
    "--samples-per-shard", default=10_000, show_default=True, help="Samples in each shard but the last."
)


@click.command("filter")
@raw_argument
@work_argument
@min_images_option
@json_option
def filter_command(raw: str, work: Path, min_images: int, as_json: bool) -> None:
    """List what the dump RAW holds and drop classes with too few images.

    RAW is a tar of class tars as it was downloaded, a path or an s3:// URI; it is only read. WORK is the folder for
    what the stages hand on.

    \b
    Example:
      in21k-prep filter fall11_whole.tar work/ --min-images 500
    """
    record = filter_stage.filter_classes(raw, work, filter_stage.FilterParameters(min_images))
    print_summary("filter", record.counts, as_json)


@click.command("split")
@work_argument
@val_option
@order_option
@seed_option
@json_option
def split_command(work: Path, val_per_class: int, order: str, seed: int, as_json: bool) -> None:
    """Choose the validation images of each class, and the place of every image in the global shuffle.

    \b
    Example:
      in21k-prep split work/ --val-per-class 50 --order hash --seed 1
    """
    print_summary("split", split_images(work, SplitParameters(val_per_class, Order(order), seed)).counts, as_json)


@click.command("resize")
@work_argument
@size_option
@quality_option
@filter_option
@workers_option
@memory_option
@json_option
def resize_command(
    work: Path, size: int, quality: int, resampling: str, workers: int | None, memory: int, as_json: bool
) -> None:
    """Decode, squish and encode every image once, into sorted parts.

    \b
    Example:
      in21k-prep resize work/ --size 224 --workers 16
    """
    parameters = ResizeParameters(size, quality, Filter(resampling))
    _note_backend()
    print_summary("resize", resize_images(work, parameters, workers or available_cores(), memory).counts, as_json)


@click.command("shard")
@work_argument
@out_argument
@samples_option
@parents_option
@workers_option
@json_option
def shard_command(
    work: Path, out: Path, samples_per_shard: int, parents: str, workers: int | None, as_json: bool
) -> None:
    """Merge the parts into shuffled shards, and write the tables and the manifest beside them.

    \b
    Example:
      in21k-prep shard work/ imagenet21k/ --samples-per-shard 10000
    """
    parameters = ShardParameters(samples_per_shard, ParentRule(parents))
    print_summary("shard", _dataset(write_shards(work, out, parameters, workers or available_cores()), out), as_json)


@click.command("run")
@raw_argument
@work_argument
@out_argument
@min_images_option
@val_option
@order_option
@seed_option
@size_option
@quality_option
@filter_option
@memory_option
@samples_option
@parents_option
@workers_option
@json_option
def run_command(raw: str, work: Path, out: Path, workers: int | None, as_json: bool, **chosen: Any) -> None:
    """Filter, split, resize and shard, one after the other.

    What is done already is passed over, so the same command goes on after a kill.

    \b
    Example:
      in21k-prep run fall11_whole.tar work/ imagenet21k/ --workers 16
    """
    cores = workers or available_cores()
    split = SplitParameters(chosen["val_per_class"], Order(chosen["order"]), chosen["seed"])
    resize = ResizeParameters(chosen["size"], chosen["quality"], Filter(chosen["resampling"]))
    shard = ShardParameters(chosen["samples_per_shard"], ParentRule(chosen["parents"]))
    _note_backend()
    filter_stage.filter_classes(raw, work, filter_stage.FilterParameters(chosen["min_images"]))
    split_images(work, split)
    resize_images(work, resize, cores, chosen["memory"])
    print_summary("run", _dataset(write_shards(work, out, shard, cores), out), as_json)


@click.command("demo")
@click.argument("output", metavar="RAW", type=click.Path(path_type=Path))
@click.option("--seed", default=0, show_default=True, help="Of the pictures.")
@json_option
def demo_command(output: Path, seed: int, as_json: bool) -> None:
    """Draw a small raw dump to try everything on: a tar of class tars of made-up pictures.

    \b
    Example:
      in21k-prep demo raw.tar
      in21k-prep run raw.tar work/ dataset/ --min-images 20 --val-per-class 8 --size 64
    """
    print_summary("demo", draw_dump(output, seed=seed).summary(), as_json)


def _dataset(manifest: Manifest, out: Path) -> dict[str, Any]:
    return {
        **manifest.counts,
        "shards": sum(map(len, manifest.splits.values())),
        "bytes": sum(manifest.size(split) for split in manifest.splits),
        "dataset": str(out),
    }


def _note_backend() -> None:
    if not is_simd():
        click.echo(_SLOW_PILLOW, err=True)

"""The command `in21k-prep`: each command parses, calls one core function and prints its summary."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from in21k.prep import filter as filter_stage
from in21k.prep.demo import draw_dump
from in21k.prep.errors import USER_ERRORS
from in21k.prep.executor import available_cores
from in21k.prep.imaging import Filter, ResizeParameters, is_simd
from in21k.prep.resize import DEFAULT_MEMORY, resize_images
from in21k.prep.shard import ShardParameters, write_shards
from in21k.prep.split import Order, SplitParameters, split_images
from in21k.prep.tree import write_tree
from in21k.shards_manifest.manifest import Manifest
from in21k.tree.parents import ParentRule

_SLOW_PILLOW = "note: stock Pillow resizes at about 0.6 of the speed of pillow-simd; docs/decisions.md says how to install that"


class OneLineErrors(click.Group):
    """A group that answers what its user got wrong with one line and an exit code, 2 for usage and 1 for the rest."""

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run the command line and leave the process with its exit code."""
        extra["standalone_mode"] = False
        try:
            code = super().main(*args, **extra)
        except click.exceptions.NoArgsIsHelpError as error:
            error.show()
            sys.exit(2)
        except click.ClickException as error:
            click.echo(f"{self.name}: error: {error.format_message()}", err=True)
            sys.exit(error.exit_code)
        except (click.Abort, KeyboardInterrupt):
            click.echo(f"{self.name}: interrupted; the same command goes on from here", err=True)
            sys.exit(130)
        sys.exit(code if isinstance(code, int) else 0)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command and turn expected failures into one line."""
        try:
            return super().invoke(ctx)
        except (*USER_ERRORS, OSError) as error:
            if ctx.params["debug"]:
                raise
            raise click.ClickException(" ".join(str(error).split())) from error


class Bytes(click.ParamType[int]):
    """A number of bytes, such as 600MB or 2GB."""

    name = "bytes"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number of bytes that a text means."""
        if isinstance(value, int):
            return value
        text = value.strip().upper().removesuffix("B").removesuffix("I")
        unit = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}.get(text[-1:], 1)
        try:
            return int(float(text.rstrip("KMGT")) * unit)
        except ValueError:
            self.fail(f"{value!r} is no amount of memory; give one such as 600MB or 2GB", param, ctx)


raw_argument = click.argument("raw", metavar="RAW")
work_argument = click.argument("work", metavar="WORK", type=click.Path(path_type=Path))
out_argument = click.argument("out", metavar="OUT", type=click.Path(path_type=Path))
json_option = click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
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
parents_option = click.option(
    "--parents",
    type=click.Choice([rule.value for rule in ParentRule]),
    default=ParentRule.PUBLISHED.value,
    show_default=True,
    help="Which hypernym of a synset with several is its parent.",
)


@click.group("in21k-prep", cls=OneLineErrors, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.version_option(package_name="in21k")
def main(debug: bool) -> None:
    """Turn the raw ImageNet-21K dump into shuffled WebDataset shards, without unpacking it.

    \b
    The whole way, in one command:
      in21k-prep run fall11_whole.tar work/ imagenet21k/
    or a stage at a time:
      in21k-prep filter fall11_whole.tar work/
      in21k-prep split work/
      in21k-prep resize work/
      in21k-prep shard work/ imagenet21k/

    Every stage goes on where it was killed: give the same command again.
    """


@main.command("filter")
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
    _summary("filter", record.counts, as_json)


@main.command("split")
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
    _summary("split", split_images(work, SplitParameters(val_per_class, Order(order), seed)).counts, as_json)


@main.command("resize")
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
    _summary("resize", resize_images(work, parameters, workers or available_cores(), memory).counts, as_json)


@main.command("shard")
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
    _summary("shard", _dataset(write_shards(work, out, parameters, workers or available_cores()), out), as_json)


@main.command("run")
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
    _summary("run", _dataset(write_shards(work, out, shard, cores), out), as_json)


@main.command("tree")
@click.argument("source", metavar="SOURCE")
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("hierarchy.parquet"),
    show_default=True,
    help="The Parquet file to write.",
)
@parents_option
@json_option
def tree_command(source: str, output: Path, parents: str, as_json: bool) -> None:
    """Write the hierarchy table alone, of a prepared dataset or of a list of wnids.

    SOURCE is a dataset's folder, or a text file with a wnid a line.

    \b
    Example:
      in21k-prep tree wnids.txt --output hierarchy.parquet
      python -c "import pandas; print(pandas.read_parquet('hierarchy.parquet').path_names)"
    """
    _summary("tree", write_tree(source, output, ParentRule(parents)), as_json)


@main.command("demo")
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
    _summary("demo", draw_dump(output, seed=seed).summary(), as_json)


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


def _summary(command: str, facts: Mapping[str, Any], as_json: bool) -> None:
    """Print what a command did, for people or for scripts."""
    if as_json:
        click.echo(json.dumps({"command": command, **facts}))
        return
    width = max(map(len, facts))
    click.echo(f"{command}: done")
    for name, value in facts.items():
        shown = f"{value:,}" if isinstance(value, int) else str(value)
        click.echo(f"  {name.replace('_', ' '):<{width}}  {shown}")

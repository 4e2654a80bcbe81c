"""The commands from a raw dump to a dataset: filter, split, resize, shard, run."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from in21k.prep.cli.dry_run import print_dry_run
from in21k.prep.cli.duplicates import chosen_against, drop_options
from in21k.prep.cli.selection import chosen_filter, export_option, note_unmatched
from in21k.prep.cli.shared import note, parents_option, to_pretrain
from in21k.prep.cli.stage_options import (
    chosen_resize,
    chosen_shard,
    chosen_split,
    chosen_workers,
    filter_options,
    out_argument,
    raw_argument,
    resize_options,
    shard_options,
    split_options,
    work_argument,
    worker_options,
)
from in21k.prep.cli.taxonomy import print_findings, taxonomy_options
from in21k.shards_manifest.command.help import command, option
from in21k.shards_manifest.command.options import json_option, with_options
from in21k.shards_manifest.command.summary import print_summary
from in21k.shards_manifest.command.typed import typed_again
from in21k.shards_manifest.storage.location import locate

if TYPE_CHECKING:
    from in21k.shards_manifest.manifest import Manifest

_SLOW_PILLOW = (
    "stock Pillow resizes at about 0.6 times the speed of pillow-simd; docs/choosing.md says how to install it"
)


@command("filter")
@raw_argument
@work_argument
@with_options(filter_options, taxonomy_options, [parents_option, json_option])
def filter_command(raw: str, work: str, as_json: bool, **chosen: Any) -> None:
    """List what a dump holds, and drop classes with too few images.

    RAW may be class tars or class folders, in a tar, a zip or a folder; WebDataset shards or Parquet files of the hub;
    pieces of a tar; or the official processed release (docs/sources.md).

    Classes are named by wnids, unless --edges, --edges-from-folders or --flat says otherwise (docs/own-taxonomy.md).

    \b
    Examples:
      in21k-prep filter fall11_whole.tar work/ --min-images 500
      in21k-prep filter fall11_whole.tar work/ --classes in12k --exclude-subtree n00007846
      in21k-prep filter products/ work/ --edges taxonomy.csv --min-images 50
    """
    from in21k.prep.stages.filter import filter_classes
    from in21k.prep.stages.labels import taxonomy_findings

    record = filter_classes(locate(raw), locate(work), chosen_filter(chosen))
    found = taxonomy_findings(locate(work))
    listed = {"findings": [finding.to_json() for finding in found]} if found and as_json else {}
    if not as_json:
        print_findings(found)
    print_summary("filter", {**record.counts, **listed}, as_json, then=[("in21k-prep", "split", work)])


@command("split")
@work_argument
@with_options(split_options, [export_option, json_option])
def split_command(work: str, export_lists: Path | None, as_json: bool, **chosen: Any) -> None:
    """Choose each class's validation images and the global shuffle.

    \b
    Examples:
      in21k-prep split work/ --val-per-class 50 --order hash --seed 1
      in21k-prep split work/ --export-lists lists/
    """
    from in21k.prep.stages.export_lists import write_lists
    from in21k.prep.stages.split import split_images

    record = split_images(locate(work), chosen_split(chosen))
    note_unmatched(record)
    exported = {} if export_lists is None else write_lists(locate(work), export_lists)
    print_summary("split", {**record.counts, **exported}, as_json, then=[("in21k-prep", "resize", work)])


@command("resize")
@work_argument
@with_options(resize_options, worker_options)
def resize_command(work: str, as_json: bool, **chosen: Any) -> None:
    """Decode, resize and encode each image once, in shuffled order.

    \b
    Examples:
      in21k-prep resize work/ --size 224 --workers 16
      in21k-prep resize work/ --executor dask --scheduler tcp://head:8786
    """
    from in21k.prep.stages.resize import resize_images

    parameters, workers = chosen_resize(chosen), chosen_workers(chosen)
    _note_backend()
    counts = resize_images(locate(work), parameters, workers, chosen["memory"]).counts
    print_summary("resize", counts, as_json, then=[("in21k-prep", "shard", work, "dataset/")])


@command("shard")
@work_argument
@out_argument
@with_options(shard_options, drop_options, worker_options)
def shard_command(work: str, out: str, as_json: bool, **chosen: Any) -> None:
    """Merge the parts into shuffled shards, with tables and manifest.

    \b
    Examples:
      in21k-prep shard work/ imagenet21k/ --samples-per-shard 10000
      in21k-prep shard work/ imagenet21k/ --drop-duplicates train-val,against --against imagenet1k/val
      in21k-prep shard work/ 's3://bucket/imagenet21k?endpoint_override=http://minio:9000'
    """
    from in21k.prep.stages.shard import write_shards

    against = chosen_against(chosen)
    manifest = write_shards(locate(work), locate(out), chosen_shard(chosen), chosen_workers(chosen), against)
    _print_dataset("shard", manifest, out, as_json)


@command("run")
@raw_argument
@work_argument
@out_argument
@option("--dry-run", is_flag=True, help="Say what would be kept, and what it needs; write nothing.")
@option("--force", is_flag=True, help="Start even if the disk seems too small.")
@with_options(
    filter_options, taxonomy_options, split_options, resize_options, shard_options, drop_options, worker_options
)
def run_command(raw: str, work: str, out: str, as_json: bool, **chosen: Any) -> None:
    """Turn a raw dump into a dataset: filter, split, resize, shard.

    Finished work is skipped, so the same command continues after an interruption. Before resizing, it checks that the
    disk is large enough. With --dry-run, what filter and split find lies in a temporary folder, where TMPDIR says.

    \b
    Examples:
      in21k-prep run fall11_whole.tar work/ imagenet21k/ --dry-run
      in21k-prep run fall11_whole.tar work/ imagenet21k/ --workers 16
      in21k-prep run fall11_whole.tar work/ tenth/ --fraction 0.1 --exclude-subtree n00007846
      in21k-prep run fall11_whole.tar work/ clean/ --drop-duplicates within-class,train-val
      in21k-prep run products/ work/ products21/ --edges taxonomy.csv --min-images 50 --val-per-class 5
      in21k-prep run inaturalist/ work/ inat/ --edges-from-folders --min-images 50 --val-per-class 5
      in21k-prep run photos/ work/ dataset/ --flat --min-images 50 --val-per-class 5
    """
    from in21k.prep.cli.run import Run, dry_run, whole_run
    from in21k.prep.stages.forecast import require_space
    from in21k.prep.stages.places import require_output_place

    run = Run(
        dump=locate(raw),
        work=locate(work),
        output=locate(out),
        filter=chosen_filter(chosen),
        split=chosen_split(chosen),
        resize=chosen_resize(chosen),
        shard=chosen_shard(chosen),
        against=chosen_against(chosen),
        workers=chosen_workers(chosen),
        memory=chosen["memory"],
        force=chosen["force"],
    )
    require_output_place(run.dump, run.work, run.output)
    _note_backend()
    if chosen["dry_run"]:
        found, needed = dry_run(run)
        again = ("in21k-prep", "run", *typed_again({"dry_run"}))
        print_dry_run(found, as_json, again if found["stages_left"] else ("in21k-prep", "verify", out))
        if not run.force:
            require_space(run.work, run.output, needed)
        return
    _print_dataset("run", whole_run(run), out, as_json)


def _print_dataset(command: str, manifest: "Manifest", out: str, as_json: bool) -> None:
    """Print what a dataset holds, and what it can be used for."""
    summary = {
        **manifest.counts,
        "shards": sum(map(len, manifest.splits.values())),
        "bytes": sum(manifest.size(split) for split in manifest.splits),
        "dataset": locate(out).text,
    }
    print_summary(command, summary, as_json, then=[("in21k-prep", "report", out), to_pretrain(out)])


def _note_backend() -> None:
    from in21k.prep.images.resize_image import is_simd

    if not is_simd():
        note(_SLOW_PILLOW)

"""The commands on a prepared dataset: verify, repair, sidecars, inspect, compare, rejects."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import click

from in21k.prep.cli.known import CLASSES
from in21k.prep.cli.shared import to_pretrain
from in21k.shards_manifest.command.columns import table_lines, terminal_width
from in21k.shards_manifest.command.help import command, option
from in21k.shards_manifest.command.numbers import counted
from in21k.shards_manifest.command.options import PLACE, LocalPath, json_option
from in21k.shards_manifest.command.summary import SHOWN, print_next, print_summary
from in21k.shards_manifest.errors import escaped
from in21k.shards_manifest.storage.location import locate
from in21k.shards_manifest.verify.findings import CODES, SIDECAR_CODES, Depth, Finding

if TYPE_CHECKING:
    from in21k.prep.dataset.compare import Comparison
    from in21k.prep.dataset.inspect import SampleFacts, StoredSample
    from in21k.prep.executor import Workers

out_argument = click.argument("out", metavar="OUT", type=PLACE, help="A prepared dataset: its folder, or an s3:// URI.")
workers_option = option(
    "--workers", type=int, metavar="N", show_default="the CPUs available", help="Shards to read at a time."
)


@command("verify")
@out_argument
@option("--quick", "depth", flag_value="quick", help="Check only lengths, counts and tables; no shard is read.")
@option("--deep", "depth", flag_value="deep", help="Check every member of every shard too, and decode every image.")
@workers_option
@json_option
@click.pass_context
def verify_command(context: click.Context, out: str, depth: str | None, workers: int | None, as_json: bool) -> None:
    """Check a dataset: files, digests, labels, splits, hierarchy.

    It is compared with its manifest, its sidecars too; without --quick and --deep, the digest of every file. Each
    finding has a code, explained in docs/formats.md, and names the affected file. The exit status is 1 if there are any
    findings.

    \b
    Examples:
      in21k-prep verify imagenet21k/
      in21k-prep verify imagenet21k/ --deep --json
    """
    from in21k.prep.dataset.verify import check_dataset

    chosen = Depth[(depth or "digest").upper()]
    verdict = check_dataset(locate(out), chosen, _workers(workers))
    facts = {
        "dataset": locate(out).text,
        "level": chosen.name.lower(),
        "shards": verdict.shards,
        "bytes": verdict.bytes,
    }
    if as_json:
        findings = [asdict(finding) | {"meaning": CODES[finding.code]} for finding in verdict.findings]
        print_summary("verify", {**facts, "sound": verdict.is_sound, "findings": findings}, as_json)
    elif verdict.is_sound:
        print_summary("verify", facts, as_json, head="sound, no findings", then=[to_pretrain(out)])
    else:
        _print_findings(verdict.findings)
        click.echo(f"verify: {counted(len(verdict.findings), 'finding')} in {escaped(locate(out).text)}")
        are_sidecars = all(finding.code.startswith(SIDECAR_CODES) for finding in verdict.findings)
        print_next([("in21k-prep", "sidecars", out) if are_sidecars else ("in21k-prep", "repair", "work/", out)])
    context.exit(0 if verdict.is_sound else 1)


@command("repair")
@click.argument("work", metavar="WORK", type=PLACE, help="The folder from which the dataset was made.")
@out_argument
@workers_option
@json_option
@click.pass_context
def repair_command(context: click.Context, work: str, out: str, workers: int | None, as_json: bool) -> None:
    """Rewrite what verify finds wrong, from the work folder.

    Files are afterwards as they were, byte for byte: WORK has the parts that they were made of. Sound shards are only
    read. Without a sound manifest, all shards are rewritten. Copies of a shard under an unknown name are deleted. The
    exit status is 1 if findings are left.

    \b
    Examples:
      in21k-prep repair work/ imagenet21k/
    """
    from in21k.prep.dataset.repair import repair_dataset

    repaired = repair_dataset(locate(work), locate(out), _workers(workers))
    if as_json:
        print_summary("repair", asdict(repaired), as_json)
    else:
        for path in repaired.written:
            click.echo(f"written  {escaped(path)}")
        for path in repaired.deleted:
            click.echo(f"deleted  {escaped(path)}")
        _print_findings(repaired.left)
        files = f"{counted(len(repaired.written), 'file')} written, {len(repaired.deleted):,} deleted"
        click.echo(f"repair: {files}, {counted(len(repaired.left), 'finding')} left")
        print_next([] if repaired.left else [("in21k-prep", "verify", out)])
    context.exit(1 if repaired.left else 0)


@command("sidecars")
@out_argument
@json_option
def sidecars_command(out: str, as_json: bool) -> None:
    """Rewrite what timm, wids, Hugging Face and DALI read.

    These are the sidecars, with sizes for open_clip and the datasheet. They are generated from the manifest and the
    tables; no shard is read. Files that are already right are not touched.

    \b
    Examples:
      in21k-prep sidecars imagenet21k/
    """
    from in21k.shards_manifest.sidecars import rewrite_sidecars

    written = rewrite_sidecars(locate(out))
    files = list(written) if as_json else _counted(written)
    head = "done" if written else "none differed"
    print_summary(
        "sidecars", {"written": len(written), "files": files}, as_json, head=head, then=[("in21k-prep", "verify", out)]
    )


@command("inspect")
@out_argument
@option(
    "--class",
    "named",
    metavar="CLASS",
    type=CLASSES,
    help="Show one class: a wnid, a class index, or a name such as dog.",
)
@option("--key", metavar="KEY", help="Show the sample with this key, such as n02084071_1234.")
@option("--samples", default=10, metavar="N", help="With --class, how many samples to show or save.")
@option("--save", type=LocalPath(file_okay=False), metavar="FOLDER", help="Write the images to this folder.")
@json_option
def inspect_command(
    out: str, named: str | None, key: str | None, samples: int, save: Path | None, as_json: bool
) -> None:
    """Show a dataset as a whole, one of its classes, or one sample.

    \b
    Examples:
      in21k-prep inspect imagenet21k/
      in21k-prep inspect imagenet21k/ --class dog --save dogs/
      in21k-prep inspect imagenet21k/ --key n02084071_1234
    """
    from in21k.prep.dataset.inspect import inspect_class, inspect_dataset, inspect_sample, save_images
    from in21k.tree.glosses import definition

    if named is not None and key is not None:
        raise click.UsageError("give --class or --key, not both")
    if save is not None and named is None and key is None:
        raise click.UsageError("--save needs --class or --key, which choose the images")
    dataset = locate(out)
    shown: tuple[StoredSample, ...] = ()
    if named is not None:
        of_class = inspect_class(dataset, named, samples)
        shown, facts = of_class.samples, asdict(of_class)
    elif key is not None:
        of_sample = inspect_sample(dataset, key)
        shown, facts = (of_sample.sample,), _sample_facts(of_sample)
    else:
        facts = inspect_dataset(dataset)
    if save is not None:
        facts["saved"] = [str(path) for path in save_images(dataset, shown, save)]
    if not as_json and "samples" in facts:
        shows = ("key", "split", "shard", "image_bytes")
        facts["samples"] = [{name: sample[name] for name in shows} for sample in facts["samples"]]
        facts["gloss"] = definition(facts["gloss"] or "")
    then = [("in21k-prep", "report", out)] if named is None and key is None else []
    print_summary("inspect", facts, as_json, head=str(facts.get("wnid") or dataset.text), then=then)


@command("compare")
@click.argument("first", metavar="A", type=PLACE, help="A prepared dataset: its folder, or an s3:// URI.")
@click.argument("second", metavar="B", type=PLACE, help="Another one, likewise.")
@workers_option
@json_option
@click.pass_context
def compare_command(context: click.Context, first: str, second: str, workers: int | None, as_json: bool) -> None:
    """Tell whether two datasets hold the same, and what differs.

    Images, splits, classes and bytes are compared. How the images are divided into shards does not matter. Shards that
    both datasets share are not read. The exit status is 1 if any image differs.

    \b
    Examples:
      in21k-prep compare imagenet21k/ s3://bucket/imagenet21k
    """
    from in21k.prep.dataset.compare import compare_datasets

    comparison = compare_datasets(locate(first), locate(second), _workers(workers))
    same = not comparison.differences
    if as_json:
        print_summary("compare", {"same": same, **asdict(comparison)}, as_json)
    else:
        _print_comparison(comparison, same)
    context.exit(0 if same else 1)


@command("rejects")
@out_argument
@option("--reason", default="", metavar="REASON", help="List only the rejects with this reason, such as truncated.")
@json_option
def rejects_command(out: str, reason: str, as_json: bool) -> None:
    """List what is in the dump but not in the dataset, and why.

    Each reject is a tab-separated line. They are sorted by reason, and counted.

    \b
    Examples:
      in21k-prep rejects imagenet21k/ --reason truncated
    """
    from in21k.prep.dataset.rejects import counts_by_reason, lines, read_rejects

    rows = read_rejects(locate(out), reason)
    counts = {"rejected": len(rows), "reasons": counts_by_reason(rows)}
    if as_json:
        print_summary("rejects", {**counts, "list": [row._asdict() for row in rows]}, as_json)
        return
    for line in lines(rows):
        click.echo(line)
    print_summary("rejects", counts, as_json)


def _counted(names: Sequence[str]) -> list[str]:
    """Return names of files, or how many of each kind there are if they are too many to read."""
    if len(names) <= SHOWN:
        return list(names)
    kinds = Counter(PurePosixPath(name).suffix for name in names)
    return [f"{count:,} {kind}" for kind, count in kinds.most_common()]


def _workers(count: int | None) -> "Workers":
    from in21k.prep.executor import Workers, available_cores

    return Workers(available_cores() if count is None else count)


def _print_findings(findings: Sequence[Finding]) -> None:
    rows = []
    for finding in findings:
        more = f" (and {finding.count - 1:,} more)" if finding.count > 1 else ""
        rows.append((finding.code, finding.path, f"{CODES[finding.code]}: {finding.message}{more}"))
    for line in table_lines(("code", "file", "finding"), rows, width=terminal_width()) if rows else ():
        click.echo(line)


def _print_comparison(comparison: "Comparison", same: bool) -> None:
    for difference in comparison.differences:
        more = ", …" if difference.count > len(difference.examples) else ""
        click.echo(f"{difference.count:,} {difference.what}: {', '.join(map(escaped, difference.examples))}{more}")
    for note in comparison.notes:
        click.echo(f"note: {escaped(note)}")
    counts = {"images": comparison.images, "common": comparison.common}
    print_summary("compare", counts, as_json=False, head="the same images" if same else "the images differ")


def _sample_facts(found: "SampleFacts") -> dict[str, Any]:
    facts = {"wnid": found.wnid, "path": found.path, "label": found.label, "sha256": found.sha256}
    return asdict(found.sample) | facts | {"first_bytes": found.image[:16].hex(" ")}

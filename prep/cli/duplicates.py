"""The command on copies of pictures: duplicates; and the options by which `run` and `shard` drop them."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from in21k.prep.cli.dataset import out_argument
from in21k.prep.duplicates.parameters import DISTANCE, SearchParameters
from in21k.shards_manifest.command.help import command, option
from in21k.shards_manifest.command.options import PLACE, LocalPath, json_option
from in21k.shards_manifest.command.summary import print_summary
from in21k.shards_manifest.errors import escaped

if TYPE_CHECKING:
    from in21k.shards_manifest.storage.location import Location

against_option = option(
    "--against",
    metavar="SET",
    type=PLACE,
    multiple=True,
    help="Other images: a folder, a prepared dataset, or a tar. Repeatable.",
)
distance_option = option(
    "--distance",
    type=int,
    metavar="BITS",
    default=DISTANCE,
    help="In how many of their 64 bits the hashes of two pictures may differ, 0 to 12.",
)


drop_options = (
    option(
        "--drop-duplicates",
        metavar="KINDS",
        default="",
        help="Leave out images of which there is a copy: within-class, train-val and against, joined by commas.",
    ),
    against_option,
    distance_option,
)


def chosen_against(chosen: Mapping[str, Any]) -> "list[Location]":
    """Return the sets that `--against` names, once it is clear that they are needed and hold images.

    Raises:
        UsageError: `--drop-duplicates against` and `--against` are not given together.
        DatasetError: one of them holds no images.
    """
    from in21k.prep.duplicates.image_sets import open_set
    from in21k.prep.stages.drop import Drop, DropParameters
    from in21k.shards_manifest.storage.location import locate

    drops = Drop.AGAINST in DropParameters.of(chosen["drop_duplicates"], chosen["distance"]).kinds
    if drops != bool(chosen["against"]):
        raise click.UsageError("--drop-duplicates against and --against SET go together: give both or neither")
    against = [locate(other) for other in chosen["against"]]
    for other in against:
        open_set(other)
    return against


@command("duplicates")
@out_argument
@against_option
@distance_option
@option("--no-crops", is_flag=True, help="Do not look for crops, which take most of the time.")
@option(
    "--output",
    type=LocalPath(file_okay=False),
    default=Path("duplicates"),
    metavar="FOLDER",
    help="The folder to write to; it may be that of a report.",
)
@option("--workers", type=int, metavar="N", show_default="the CPUs available", help="Processes and threads.")
@json_option
def duplicates_command(
    out: str, against: tuple[str, ...], distance: int, no_crops: bool, output: Path, workers: int | None, as_json: bool
) -> None:
    """Find pictures that a dataset, or it and other sets, hold twice.

    Copies are found that were encoded or scaled anew, mirrored, or cropped by about 5 %: within a class, across
    classes, across train and val, and in the sets that --against names. The output is duplicates.parquet, a row per
    pair, and duplicates.html, which shows some of each kind. Nothing is written to the dataset OUT.

    \b
    Examples:
      in21k-prep duplicates imagenet21k/
      in21k-prep duplicates imagenet21k/ --against imagenet1k/val --against customer.tar --output leaks/
    """
    from in21k.prep.duplicates.find import find_duplicates
    from in21k.prep.executor import Workers, available_cores
    from in21k.shards_manifest.storage.location import locate

    count = available_cores() if workers is None else workers
    found = find_duplicates(
        locate(out),
        [locate(other) for other in against],
        output,
        SearchParameters(distance, not no_crops),
        Workers(count),
    )
    findings = () if as_json else found.pop("findings")  # each is a sentence, and gets a line of its own
    print_summary("duplicates", found, as_json)
    for finding in findings:
        click.echo(f"finding: {escaped(finding)}")

"""What `run` does: its stages one after the other, or what a dry run finds of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from in21k.prep.cli.selection import note_unmatched
from in21k.prep.cli.shared import note
from in21k.prep.cli.taxonomy import print_findings
from in21k.prep.executor import Workers, start_early
from in21k.prep.images.parameters import ResizeParameters
from in21k.prep.stages.filter import FilterParameters, filter_classes
from in21k.prep.stages.forecast import Forecast, disks, forecast, require_space, summary
from in21k.prep.stages.labels import taxonomy_findings
from in21k.prep.stages.parts import with_sound_parts
from in21k.prep.stages.rehearsal import rehearsal
from in21k.prep.stages.resize import resize_images
from in21k.prep.stages.rest import Rest, rest_of_run
from in21k.prep.stages.shard import ShardParameters, require_same_output, write_shards
from in21k.prep.stages.split import split_images
from in21k.prep.stages.split_parameters import SplitParameters
from in21k.shards_manifest.command.progress import stage
from in21k.shards_manifest.manifest import Manifest
from in21k.shards_manifest.storage.location import Location

QUICK_SECONDS, THOROUGH_SECONDS = 1.0, 10.0
"""How long images are tried before a run, and by a dry run."""

_STAGES = 4


@dataclass(frozen=True)
class Run:
    """A run that a user asks for."""

    dump: Location
    work: Location
    output: Location
    filter: FilterParameters
    split: SplitParameters
    resize: ResizeParameters
    shard: ShardParameters
    against: Sequence[Location]
    """The other sets in which twins are looked for."""
    workers: Workers
    memory: int
    """Bytes that each of them may use."""
    force: bool
    """Whether to start even if the disk seems too small."""


def dry_run(run: Run) -> tuple[Mapping[str, Any], Forecast]:
    """Return what a run would keep and what of it is left, by name, and what that needs; its folders stay as they are.

    Raises:
        DatasetError, TreeError: the run could not be done.
    """
    with rehearsal(run.dump, run.work) as place:
        needed = _forecast(run, place, _rest(run, place), THOROUGH_SECONDS)
        return summary(place, needed, disks(run.work, run.output, needed), run.workers.count), needed


def whole_run(run: Run) -> Manifest:
    """Do what is left of a run, and return the dataset's manifest.

    Raises:
        DatasetError, TreeError: it cannot be done.
    """
    start_early(run.workers)
    rest = _rest(run, run.work)
    if rest.images and not run.force:
        require_space(run.work, run.output, _forecast(run, run.work, rest, QUICK_SECONDS))

    def stages() -> Manifest:
        with stage(3, _STAGES, "resize"):
            resize_images(run.work, run.resize, run.workers, run.memory, run.dump)
        with stage(4, _STAGES, "shard"):
            return write_shards(run.work, run.output, run.shard, run.workers, run.against)

    return with_sound_parts(stages, note)


def _rest(run: Run, place: Location) -> Rest:
    """Filter and split in a work folder, or in a rehearsal of it, and return what is left of a run."""
    with stage(1, _STAGES, "filter"):
        filter_classes(run.dump, place, run.filter)
    print_findings(taxonomy_findings(place), note)
    with stage(2, _STAGES, "split"):
        record = split_images(place, run.split)
    note_unmatched(record)
    require_same_output(place, run.output, run.resize, run.shard)
    return rest_of_run(run.work, place, run.output, run.resize, run.shard, run.against)


def _forecast(run: Run, place: Location, rest: Rest, seconds: float) -> Forecast:
    return forecast(run.dump, place, rest, run.resize, run.workers.count, seconds, run.memory)

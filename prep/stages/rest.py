"""What of a run is done and what is left: its stages, and the images that are yet to be resized."""

from collections.abc import Sequence
from dataclasses import dataclass

from in21k.prep.images.parameters import ResizeParameters
from in21k.prep.stages.part_plan import earlier_parts
from in21k.prep.stages.parts import complete_parts
from in21k.prep.stages.record import PARTS, StageRecord, read_record, require_same, required
from in21k.prep.stages.resize import STAGE as RESIZE
from in21k.prep.stages.resize import resize_inputs, with_selection
from in21k.prep.stages.shard import STAGE as SHARD
from in21k.prep.stages.shard import ShardParameters, is_sharded
from in21k.shards_manifest.manifest import SPLITS
from in21k.shards_manifest.storage.location import Location

STAGES = ("filter", "split", RESIZE, SHARD)


@dataclass(frozen=True)
class Rest:
    """What of a run is left."""

    work: Location
    """The work folder as it is."""
    output: Location
    """The dataset's folder."""
    done: tuple[str, ...]
    """The stages that are finished."""
    images: int
    """Number of images that are yet to be resized."""

    @property
    def left(self) -> tuple[str, ...]:
        """The stages that are not finished."""
        return tuple(stage for stage in STAGES if stage not in self.done)


def rest_of_run(
    work: Location,
    place: Location,
    output: Location,
    resize: ResizeParameters,
    shard: ShardParameters,
    against: Sequence[Location],
) -> Rest:
    """Return what of a run is left once `filter` and `split` are done, in a work folder or in a rehearsal of it.

    Args:
        work: the work folder as it is.
        place: where `filter` and `split` are done.
        output: the dataset's folder.
        resize: the user's choices for `resize`.
        shard: those for `shard`.
        against: the other sets in which twins are looked for.

    Raises:
        PrepError: a stage was done or begun with other choices; it names the first difference.
    """
    done = [stage for stage in STAGES[:2] if _is_same(read_record(work, stage), required(place, stage))]
    record, images = read_record(work, RESIZE), _images_left(work, place, resize)
    done += [RESIZE] if record else []
    done += [SHARD] if is_sharded(place, output, shard, against) else []
    return Rest(work, output, tuple(done), images)


def _is_same(before: StageRecord | None, now: StageRecord) -> bool:
    """Return whether a stage was done before as it is now."""
    return before is not None and (before.parameters, before.inputs, before.outputs) == (
        now.parameters,
        now.inputs,
        now.outputs,
    )


def _images_left(work: Location, place: Location, parameters: ResizeParameters) -> int:
    """Return how many images are in no part yet."""
    split, parameters = required(place, "split"), with_selection(parameters, place)
    recorded, inputs = parameters.recorded(), resize_inputs(split, parameters)
    record = read_record(work, RESIZE)
    if record is not None:
        for before, now in ((record.parameters, recorded), (record.inputs, inputs)):
            require_same(f"{work.text}: {RESIZE} was done", before, now)
        return 0
    parts = earlier_parts(work, recorded, inputs)
    if parts is None:
        return sum(split.counts[name] for name in SPLITS)
    complete = complete_parts(work / PARTS)
    return sum(part.images for number, part in enumerate(parts) if number not in complete)

"""What `run --dry-run` prints: in words what a run needs, keeps and drops; or the numbers, as JSON."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from in21k.shards_manifest.command.declared import fact_of
from in21k.shards_manifest.command.numbers import bytes_text, count_text, counted, seconds_text
from in21k.shards_manifest.command.summary import print_next, print_summary
from in21k.shards_manifest.errors import escaped, without_secrets


def print_dry_run(summary: Mapping[str, Any], as_json: bool, then: Sequence[object]) -> None:
    """Print what a dry run found.

    Args:
        summary: as `forecast.summary` returns it.
        as_json: print its numbers.
        then: the words of the command that comes next: the run itself, or what comes after it.
    """
    if as_json:
        print_summary("run", summary, as_json)
        return
    for line in dry_run_lines(summary):
        print(line)
    print_next([then])


def dry_run_lines(found: Mapping[str, Any]) -> Iterator[str]:
    """Yield what a dry run found, in words."""
    yield from _needs(found)
    classes = f"{count_text(found['classes_kept'])} of {counted(found['classes'], 'class')}"
    images = f"{count_text(found['images_kept'])} of {counted(found['images'], 'image')}"
    yield f"  keeps   {classes} with {images}: {count_text(found['train'])} train and {count_text(found['val'])} val"
    for key, count in found.items():
        if key.startswith("classes_") and key != "classes_kept":
            label = fact_of("run", key).label.removeprefix("classes ")
            yield f"  drops   {counted(count, 'class')} {label}: {counted(found[f'images_{key[8:]}'], 'image')}"
    if found.get("images_unselected"):
        yield f"  leaves  {counted(found['images_unselected'], 'image')} that are not selected"
    if found["rejected"]:
        yield f"  rejects {counted(found['rejected'], 'file')} by name or place"
    damaged, sampled = found["images_sampled_damaged"], found["images_sampled"]
    if not sampled:
        return
    rest = f"{count_text(damaged)} do not decode and would be rejected" if damaged else "all decode"
    yield f"  tried   {counted(sampled, 'image')}: {rest}"


def _needs(found: Mapping[str, Any]) -> Iterator[str]:
    """Yield what the rest of a run needs, and what of it is done where anything is."""
    if not found["stages_left"]:
        yield f"run: nothing is left to do: {escaped(without_secrets(found['dataset']))} is finished"
        return
    free = "" if found["free_bytes"] is None else f", {bytes_text(found['free_bytes'])} free"
    took = f", about {seconds_text(found['resize_seconds'])} on {counted(found['workers'], 'worker')}"
    took = took if found["images_left"] else ""
    yield f"run: needs {bytes_text(found['needed_bytes'])}{free}{took}; nothing was written"
    resized = found["train"] + found["val"] - found["images_left"]
    if found["stages_done"]:
        part = f", and of resize {counted(resized, 'image')}" if found["images_left"] and resized > 0 else ""
        yield f"  done    {', '.join(found['stages_done'])}{part}"
        yield f"  left    {', '.join(found['stages_left'])}"

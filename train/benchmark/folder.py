"""The folder of a benchmark: whose it is, which of its runs have finished, and what was asked of them."""

import json
from pathlib import Path
from typing import Any

from in21k.shards_manifest.errors import one_line
from in21k.shards_manifest.json_file import parse_json, read_json_bytes
from in21k.shards_manifest.markers import BENCHMARK, FolderKind, require_place_for
from in21k.shards_manifest.storage.local_files import make_folder, write_atomic
from in21k.shards_manifest.storage.location import locate
from in21k.train.benchmark.plan import RUNS, PlannedRun
from in21k.train.config.overrides import flatten
from in21k.train.errors import TrainError

FORMAT = "in21k benchmark 1"
TABLE, SCORES, RUN_SCORES = "table.md", "table.csv", "runs.csv"
_OURS = (TABLE, SCORES, RUN_SCORES, RUNS)


def require_folder(folder: Path) -> None:
    """Refuse a folder that holds anything but a benchmark; nothing is written.

    Raises:
        DatasetError: it holds what another command wrote.
        TrainError: it has a file of the name of one of ours, and no benchmark.
    """
    require_place_for(locate(folder), FolderKind.BENCHMARK, option="--output")
    if (folder / BENCHMARK).exists():
        return
    for name in _OURS:
        if (folder / name).exists():
            raise TrainError(f"{folder} holds {name} and no benchmark; give an empty folder or a new one as --output")


def begin(folder: Path) -> None:
    """Mark a folder as a benchmark's, unless it is marked."""
    make_folder(folder)
    if not (folder / BENCHMARK).exists():
        write_json(folder / BENCHMARK, {"format": FORMAT})


def is_finished(run: PlannedRun) -> bool:
    """Return whether a run has finished.

    Raises:
        TrainError: something else was asked of it; the message says what.
        DatasetError: its record cannot be read.
    """
    if not run.record.exists():
        if run.folder.exists():
            raise TrainError(f"{run.folder} has no {run.record.name} beside it; delete it, or give another --output")
        return False
    try:
        before = parse_json(read_json_bytes(locate(run.record)))
    except ValueError as error:
        raise TrainError(
            f"{run.record} is damaged ({one_line(error)}); delete it and the folder beside it to run anew"
        ) from error
    if run.folder.exists() and (changed := _changes(before, run.asked())):
        raise TrainError(
            f"{run.folder} was asked for otherwise: {'; '.join(changed)}; ask as before, delete that folder for a new "
            "run, or give another --output"
        )
    return run.summary.exists()


def write_record(run: PlannedRun) -> None:
    """Write what is asked of a run, before it begins."""
    make_folder(run.record.parent)
    write_json(run.record, run.asked())


def read_summary(run: PlannedRun) -> dict[str, Any]:
    """Return the summary of a run that has finished.

    Raises:
        TrainError: it is damaged.
    """
    try:
        return parse_json(read_json_bytes(locate(run.summary)))
    except ValueError as error:
        raise TrainError(f"{run.summary} is damaged ({one_line(error)}); delete {run.folder} to run it anew") from error


def write_json(path: Path, values: Any) -> None:
    """Write plain values as JSON, whole or not at all."""
    write_atomic(path, json.dumps(values, indent=1).encode() + b"\n")


def _changes(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    old, new = flatten(before), flatten(now)
    return [
        f"{key} {_shown(old.get(key))}, now {_shown(new.get(key))}"
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
    ]


def _shown(value: Any) -> str:
    if value is None:
        return "its default"
    return one_line(f"{value:.12}" if isinstance(value, str) and len(value) == 64 else str(value))

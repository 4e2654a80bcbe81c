"""`run --dry-run`: in words what a run needs and keeps, and nothing is written."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from commands import PREP, call, one_line, prep, said
from dumps import HTML, images_of, make_dump

from in21k.prep.stages.rehearsal import rehearsal
from in21k.shards_manifest.storage.location import locate

DOG, COW, SUN = "n02084071", "n01887787", "n09450163"
OPTIONS = ("--min-images", 20, "--val-per-class", 2, "--size", 64, "--workers", 1)


@pytest.fixture(scope="module")
def dump(tmp_path_factory):
    damaged = [(f"{COW}_{number}.JPEG", HTML) for number in range(90, 100)]
    classes = {DOG: images_of(DOG, 25), COW: [*images_of(COW, 25), *damaged], SUN: images_of(SUN, 4)}
    return make_dump(tmp_path_factory.mktemp("dry") / "raw.tar", classes)


def states(folder: Path) -> dict[str, tuple[int, ...]]:
    """What a folder holds, down to the moment of each file's and folder's last change."""
    found = {path: path.lstat() for path in (folder, *folder.rglob("*"))}
    return {str(path): (stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns) for path, stat in found.items()}


def test_it_says_in_words_what_is_needed_and_kept(dump, tmp_path):
    run = prep("run", dump, tmp_path / "my work", tmp_path / "out", *OPTIONS, "--dry-run", cwd=tmp_path)
    first, *lines = run.stdout.splitlines()
    size = r"[\d.]+ [kMGT]B"
    assert re.fullmatch(rf"run: needs {size}, {size} free, about [\d.]+ s on 1 worker; nothing was written", first)
    assert lines[:-1] == [
        "  keeps   2 of 3 classes with 60 of 64 images: 56 train and 4 val",
        "  drops   1 class with too few images: 4 images",
        "  tried   60 images: 10 do not decode and would be rejected",
    ]
    assert [path.name for path in tmp_path.iterdir()] == []
    again = shlex.split(lines[-1].removeprefix("next: in21k-prep "))
    assert prep(*again).returncode == 0
    assert (tmp_path / "my work" / "resize.json").exists()


@pytest.mark.usefixtures("inline")
def test_on_finished_work_nothing_is_left_and_nothing_is_tried(dump, tmp_path):
    work, out = tmp_path / "work", tmp_path / "out"
    call("run", dump, work, out, *OPTIONS)
    found = call("run", dump, work, out, *OPTIONS, "--dry-run")
    assert (found["stages_done"], found["stages_left"]) == (["filter", "split", "resize", "shard"], [])
    assert (found["needed_bytes"], found["images_left"], found["images_sampled"], found["resize_seconds"]) == (0,) * 4
    lines = said("run", dump, work, out, *OPTIONS, "--dry-run")
    assert lines[0] == f"run: nothing is left to do: {out} is finished"
    assert lines[-1] == f"next: in21k-prep verify {out}"
    assert not [line for line in lines if "tried" in line]


@pytest.mark.usefixtures("inline")
def test_on_resized_work_only_the_dataset_is_left(dump, tmp_path):
    work, out = tmp_path / "work", tmp_path / "out"
    made = call("run", dump, work, out, *OPTIONS)
    shutil.rmtree(out)
    found = call("run", dump, work, out, *OPTIONS, "--dry-run")
    assert (found["stages_left"], found["work_bytes"], found["images_sampled"]) == (["shard"], 0, 0)
    assert found["needed_bytes"] == pytest.approx(made["bytes"], rel=0.25)
    lines = said("run", dump, work, out, *OPTIONS, "--dry-run")
    assert re.fullmatch(r"run: needs [\d.]+ kB, [\d.]+ GB free; nothing was written", lines[0])
    assert lines[1:3] == ["  done    filter, split, resize", "  left    shard"]


@pytest.mark.usefixtures("inline")
def test_half_resized_work_needs_the_other_half(dump, tmp_path):
    work, out = tmp_path / "work", tmp_path / "out"
    whole = call("run", dump, work, out, *OPTIONS, "--dry-run")
    call("run", dump, work, out, *OPTIONS)
    shutil.rmtree(out)
    for gone in (work / "resize.json", work / "parts" / "part-00001.parquet"):
        gone.unlink()
    found = call("run", dump, work, out, *OPTIONS, "--dry-run")
    assert (found["stages_done"], found["stages_left"]) == (["filter", "split"], ["resize", "shard"])
    assert 0 < found["images_left"] < whole["images_left"] == 60
    assert found["work_bytes"] / whole["work_bytes"] == pytest.approx(found["images_left"] / 60, rel=0.01)
    assert found["output_bytes"] == pytest.approx(whole["output_bytes"], rel=0.01)
    lines = said("run", dump, work, out, *OPTIONS, "--dry-run")
    assert lines[1:3] == [
        f"  done    filter, split, and of resize {60 - found['images_left']} images",
        "  left    resize, shard",
    ]


def test_its_numbers_are_json(dump, tmp_path):
    found = call("run", dump, tmp_path / "work", tmp_path / "out", *OPTIONS, "--dry-run")
    assert found["dry_run"] is True
    assert found["enough_space"] is True
    assert found["needed_bytes"] == found["work_bytes"] + found["output_bytes"]
    assert (found["classes_too_few_images"], found["images_too_few_images"]) == (1, 4)
    assert (found["train"], found["val"], found["workers"]) == (56, 4, 1)
    assert found["free_bytes"] == pytest.approx(shutil.disk_usage(tmp_path).free, rel=0.2)


@pytest.mark.parametrize("stages", [("filter",), ("filter", "split"), ("run",)])
def test_a_work_folder_stays_as_it_was(dump, tmp_path, stages):
    work, out = tmp_path / "work", tmp_path / "out"
    arguments = {
        "filter": (dump, work, *OPTIONS[:2]),
        "split": (work, *OPTIONS[2:4]),
        "run": (dump, work, out, *OPTIONS),
    }
    for stage in stages:
        call(stage, *arguments[stage])
    before = states(tmp_path)
    call("run", dump, work, out, *OPTIONS, "--dry-run")
    assert states(tmp_path) == before
    if "run" not in stages:  # what is not resized yet may change
        assert call("run", dump, work, out, "--min-images", 3, *OPTIONS[2:], "--dry-run")["classes_kept"] == 3
        assert states(tmp_path) == before


def test_other_choices_than_those_of_the_parts_are_refused_as_the_run_would(dump, tmp_path):
    arguments = ("run", dump, tmp_path / "work", tmp_path / "out")
    call(*arguments, *OPTIONS)
    changed = ("--min-images", 1, *OPTIONS[2:])
    refused = [one_line(prep(*arguments, *changed, *more)) for more in ((), ("--dry-run",))]
    assert refused[0] == refused[1]


def test_a_rehearsal_lists_nothing_again_and_is_gone_in_the_end(dump, tmp_path):
    call("filter", dump, tmp_path / "work", *OPTIONS[:2])
    with rehearsal(locate(dump), locate(tmp_path / "work")) as place:
        assert place.text == str(tmp_path / "work")
        images = Path(place.path) / "images.parquet"
        assert images.resolve() == tmp_path / "work" / "images.parquet"
    assert not Path(place.path).exists()
    assert (tmp_path / "work" / "images.parquet").exists()


def test_a_stopped_dry_run_leaves_nothing_anywhere(dump, tmp_path):
    (tmp_path / "tmp").mkdir()
    command = [*PREP, *map(str, ("run", dump, tmp_path / "work", tmp_path / "out", *OPTIONS, "--dry-run"))]
    environment = os.environ | {"TMPDIR": str(tmp_path / "tmp")}
    run = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while not list((tmp_path / "tmp").glob("in21k-*/split.json")) and run.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.002)
    run.send_signal(signal.SIGTERM)
    run.communicate(timeout=60)
    assert run.returncode in (0, 143)
    assert list(tmp_path.rglob("*")) == [tmp_path / "tmp"]

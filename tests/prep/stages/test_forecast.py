import shutil
from collections import namedtuple
from itertools import count

import pytest
from commands import RefusedError, call, one_line, prep
from dumps import HTML, images_of, make_dump, tiny

from in21k.prep.cli import run as cli_run
from in21k.prep.stages import forecast as forecast_module

DOG, COW, SUN = "n02084071", "n01887787", "n09450163"
OPTIONS = ("--min-images", 20, "--val-per-class", 2, "--size", 64, "--workers", 1)
Usage = namedtuple("Usage", "total used free")

pytestmark = pytest.mark.usefixtures("inline")


@pytest.fixture(scope="module")
def dump(tmp_path_factory):
    classes = {DOG: images_of(DOG, 150, (160, 120)), COW: images_of(COW, 60, (90, 160)), SUN: images_of(SUN, 5)}
    return make_dump(tmp_path_factory.mktemp("forecast") / "raw.tar", classes)


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(cli_run, "THOROUGH_SECONDS", 1.0)


def dry_run(dump, tmp_path, *more):
    return call("run", dump, tmp_path / "work", tmp_path / "out", *OPTIONS, "--dry-run", *more)


def test_a_dry_run_counts_exactly_and_estimates_the_bytes_well(dump, tmp_path):
    found = dry_run(dump, tmp_path)
    assert {name: found[name] for name in ("classes", "images", "classes_kept", "images_kept")} == {
        "classes": 3,
        "images": 215,
        "classes_kept": 2,
        "images_kept": 210,
    }
    assert 0 < found["images_sampled"] <= 210
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "work" / "parts").exists()
    made = call("run", dump, tmp_path / "work", tmp_path / "out", *OPTIONS)
    assert found["output_bytes"] == pytest.approx(made["bytes"], rel=0.15)
    assert found["work_bytes"] == found["output_bytes"]


def test_what_is_written_already_is_not_forecast_again(dump, tmp_path):
    first = dry_run(dump, tmp_path)
    call("run", dump, tmp_path / "work", tmp_path / "out", *OPTIONS)
    after = dry_run(dump, tmp_path)
    assert after["work_bytes"] < 0.1 * first["work_bytes"]
    assert after["output_bytes"] < 0.1 * first["output_bytes"]


def test_the_time_is_that_of_all_images_over_all_workers(dump, tmp_path, monkeypatch):
    monkeypatch.setattr(cli_run, "THOROUGH_SECONDS", 1000.0)
    seconds = {}
    for workers in (1, 2):
        ticks = count(step=10)
        monkeypatch.setattr(forecast_module.time, "perf_counter", lambda ticks=ticks: float(next(ticks)))
        found = dry_run(dump, tmp_path, "--workers", workers)
        assert found["images_sampled"] == 210
        seconds[workers] = found["resize_seconds"]
    assert seconds[1] == pytest.approx(2 * seconds[2], abs=1)
    assert seconds[1] > 0


def test_a_disk_that_is_too_small_is_refused_before_anything_is_resized(dump, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(1_000_000, 900_000, 100_000))
    run = ("run", dump, tmp_path / "work", tmp_path / "out", *OPTIONS)
    wanted = r"work and .*out: about [\d.]+ MB will be written, but 100 kB are free; .* or give --force"
    with pytest.raises(RefusedError, match=wanted):
        call(*run)
    assert not (tmp_path / "work" / "parts").exists()
    assert not (tmp_path / "out").exists()
    assert call(*run, "--force")["train"] == 206
    assert call(*run)["train"] == 206  # what is finished needs no space


def test_a_full_file_system_is_refused_by_name(dump, tmp_path):
    folder = tmp_path / "mount"
    folder.mkdir()
    if shutil.which("unshare") is None or prep("--help", before=tiny(folder, 64)).returncode:
        pytest.skip("this machine lets nobody mount a tmpfs")
    run = prep("run", dump, tmp_path / "work", folder / "out", *OPTIONS, before=tiny(folder, 64))
    line = one_line(run)
    assert f"{folder / 'out'}: about" in line
    assert " are free; " in line
    assert not (tmp_path / "work" / "parts").exists()


def test_a_dump_without_a_decodable_image_is_one_line(tmp_path):
    raw = make_dump(tmp_path / "raw.tar", {DOG: [(f"{DOG}_{number}.JPEG", HTML) for number in range(25)]})
    with pytest.raises(RefusedError, match="none of 25 randomly chosen images can be decoded"):
        call("run", raw, tmp_path / "work", tmp_path / "out", *OPTIONS)

"""No image starts a program, whatever its key says it is: resize, verify and report, as processes."""

import subprocess
import sys
from dataclasses import replace

import pyarrow.parquet as pq
import pytest
from commands import prep
from dumps import images_of, make_dump
from programs import POLYGLOTS, STARTING, plant
from small_dataset import write_dataset

from in21k.prep.hierarchy.thumbnails import choose_samples, read_samples
from in21k.shards_manifest.manifest import read_manifest
from in21k.shards_manifest.storage.location import locate

DOG = "n02084071"
HOSTILE = STARTING | POLYGLOTS


@pytest.fixture
def planted(tmp_path):
    return plant(tmp_path)


@pytest.fixture
def poisoned(tmp_path):
    """A dataset whose first val images are hostile ones."""

    def swap(split, number, sample):
        is_hostile = split == "val" and number < len(HOSTILE)
        return replace(sample, image=list(HOSTILE.values())[number]) if is_hostile else sample

    return write_dataset(tmp_path / "dataset", train=(20,), val=(30,), replace=swap)


@pytest.mark.parametrize("kind", ["eps", "dos eps"])
def test_pillow_itself_would_start_what_is_planted(planted, tmp_path, kind):
    environment, mark = planted
    (tmp_path / "key.jpg").write_bytes(STARTING[kind])
    opening = f"from PIL import Image; Image.open({str(tmp_path / 'key.jpg')!r}).load()"
    subprocess.run([sys.executable, "-c", opening], env=environment, capture_output=True, check=False)
    assert "gs" in mark.read_text()


def test_verify_reports_them(planted, poisoned):
    environment, mark = planted
    run = prep("verify", poisoned, "--deep", env=environment)
    assert run.returncode == 1
    found = [line.split()[0] for line in run.stdout.splitlines() if line.startswith("E4")]
    assert {"E401", "E404"} <= set(found)
    assert not mark.exists()


def test_the_pictures_of_a_report_leave_them_out(planted, poisoned, monkeypatch):
    environment, mark = planted
    monkeypatch.setenv("PATH", environment["PATH"])
    dataset = locate(str(poisoned))
    manifest = read_manifest(dataset)
    places = [place for places in choose_samples(dataset, manifest, 60) for place in places]
    assert len(places) == 50
    assert len(list(read_samples(dataset, manifest, places))) == 50 - len(STARTING)
    assert not mark.exists()


@pytest.mark.parametrize("compat", [(), ("--compat", "reference")])
def test_resize_rejects_them_and_keeps_polyglots_as_the_images_they_are(planted, tmp_path, compat):
    environment, mark = planted
    names = {f"{DOG}_{100 + number}": kind for number, kind in enumerate(HOSTILE)}
    odd = [(f"{name}.JPEG", HOSTILE[kind]) for name, kind in names.items()]
    raw = make_dump(tmp_path / "raw.tar", {DOG: [*images_of(DOG, 5), *odd]})
    options = ("--min-images", 1, "--val-per-class", 2, "--size", 24, "--workers", 1, *compat)
    run = prep("run", raw, tmp_path / "work", tmp_path / "out", *options, env=environment)
    assert run.returncode == 0, run.stderr
    rows = pq.read_table(tmp_path / "out" / "rejects.parquet").to_pylist()
    rejected = {names[row["name"].removesuffix(".JPEG")]: row["reason"] for row in rows}
    assert rejected == dict.fromkeys(STARTING, "not-an-image")
    assert not mark.exists()

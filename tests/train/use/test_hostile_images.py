"""No image starts a program or takes more memory than a line about it: evaluate and predict, as processes."""

import json
import subprocess
from dataclasses import replace

import pytest
from dumps import jpeg_of_size, png_of_size
from hostile_images import empty_png, jpeg_of_scans
from image_files import webp_of_size
from peaks import with_peak
from programs import POLYGLOTS, STARTING, plant
from small_dataset import write_dataset
from train_runs import fork_command, train_command

HOSTILE = STARTING | POLYGLOTS
COSTLY = {
    "jpeg.jpg": jpeg_of_size(65_500, 65_500),
    "png.png": png_of_size(60_000, 60_000),
    "webp.webp": webp_of_size(16_383, 16_383, "VP8L"),
    "line.png": empty_png(1, 10_000_000, color=0),
    "scans.jpg": jpeg_of_scans(3_000, (2_500, 2_000)),
}


@pytest.fixture(scope="module")
def run(short_run):
    return short_run("semantic-softmax")


def test_evaluate_starts_no_program(run, tmp_path):
    def swap(split, number, sample):
        is_hostile = split == "val" and number < len(HOSTILE)
        return replace(sample, image=list(HOSTILE.values())[number]) if is_hostile else sample

    dataset = write_dataset(tmp_path / "dataset", train=(20,), val=(60,), replace=swap)
    environment, mark = plant(tmp_path)
    command = fork_command(
        "evaluate", dataset, "--checkpoint", run, "--device", "cpu", "--workers", 0, "--max-skipped", 1
    )
    command.append("--json")
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)
    assert not mark.exists()


def test_predict_starts_no_program_and_has_a_line_for_each_costly_image(run, tmp_path):
    files = {**{f"{kind}.jpg": data for kind, data in HOSTILE.items()}, **COSTLY}
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    environment, mark = plant(tmp_path)
    paths = [tmp_path / name for name in files]
    command = train_command("predict", *paths, "--checkpoint", run, "--device", "cpu", "--json")
    done, peak = with_peak(*command, env=environment)
    assert (done.returncode, done.stdout[:1]) == (1, "["), done.stderr
    errors = {
        name: row.get("error", "").split(":")[0] for name, row in zip(files, json.loads(done.stdout), strict=True)
    }
    assert errors.pop("scans.jpg") == "too-many-scans"
    assert {errors.pop(f"{kind}.jpg") for kind in STARTING} == {"not-an-image"}
    assert {errors.pop(f"{kind}.jpg") for kind in POLYGLOTS} == {""}
    assert set(errors.values()) == {"too-many-pixels"}
    assert not mark.exists()
    assert peak < 1200

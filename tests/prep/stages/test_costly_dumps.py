"""Images of a dump and of a dataset that ask for much: each a row or a finding, within the memory, neighbors kept."""

from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from commands import PREP, call, digests
from dumps import PIPELINE, encode, images_of, jpeg_of_size, make_dump, png_of_size
from hostile_images import empty_png, jpeg_of_scans
from image_files import webp_of_size
from peaks import with_peak
from PIL import Image
from small_dataset import write_dataset

from in21k.prep.stages import held, resize

DOG = "n02084071"
COSTLY = {
    "jpeg": (jpeg_of_size(65_500, 65_500), "too-many-pixels"),
    "png": (png_of_size(60_000, 60_000), "too-many-pixels"),
    "webp": (webp_of_size(16_383, 16_383, "VP8L"), "too-many-pixels"),
    "deep": (empty_png(11_000, 11_000, depth=16, color=0), "too-many-pixels"),
    "line": (empty_png(1, 10_000_000, color=0), "too-many-pixels"),
    "scans": (jpeg_of_scans(3_000, (2_500, 2_000)), "too-many-scans"),
}


@pytest.mark.parametrize("mode", ["squish", "short-edge"])
def test_each_is_a_row_within_the_memory_and_its_neighbors_are_kept(tmp_path, mode):
    odd = [(f"{DOG}_{kind}.JPEG", data) for kind, (data, _) in COSTLY.items()]
    raw = make_dump(tmp_path / "raw.tar", {DOG: [*images_of(DOG, 5), *odd, *images_of(DOG, 8)[5:]]})
    options = ("--min-images", 1, "--val-per-class", 2, "--size", 24, "--mode", mode, "--workers", 1)
    run, peak = with_peak(*PREP, "run", raw, tmp_path / "work", tmp_path / "out", *options, "--memory", "400MiB")
    assert run.returncode == 0, run.stderr
    rows = pq.read_table(tmp_path / "out" / "rejects.parquet").to_pylist()
    found = {row["name"].removeprefix(f"{DOG}_").removesuffix(".JPEG"): row["reason"] for row in rows}
    assert found == {kind: reason for kind, (_, reason) in COSTLY.items()}
    assert len(pq.read_table(tmp_path / "out" / "samples.parquet")) == 8
    assert peak < 400


def tile_png(seed):
    """A small PNG of 512 × 512 pixels of noise that repeats, which makes a large JPEG."""
    noise = np.random.default_rng(seed).integers(0, 256, (8, 512, 3), np.uint8)
    return encode(Image.fromarray(np.tile(noise, (64, 1, 1))), "PNG")


@pytest.mark.slow
def test_a_large_image_behind_a_full_part_stays_within_the_memory(tmp_path):
    images = [(f"{DOG}_{number}.JPEG", tile_png(number)) for number in range(150)]
    raw = make_dump(tmp_path / "raw.tar", {DOG: [*images, (f"{DOG}_z.JPEG", empty_png(7500, 7500))]})
    options = ("--min-images", 1, "--val-per-class", 2, "--size", 512, "--quality", 100, "--workers", 1)
    run, peak = with_peak(*PREP, "run", raw, tmp_path / "work", tmp_path / "out", *options, "--memory", "300MiB")
    assert run.returncode == 0, run.stderr
    assert len(pq.read_table(tmp_path / "out" / "samples.parquet")) == 151
    assert sum(path.stat().st_size for path in (tmp_path / "work" / "parts").glob("*.tar")) > 60 << 20
    assert not list(tmp_path.rglob(".tmp-*"))
    assert peak < 300 + 32, "32 MiB for the interpreter, beyond the 15 % that are left for it"


@pytest.mark.usefixtures("inline")
def test_images_that_went_to_a_file_meanwhile_make_the_same_dataset(dataset, tmp_path, monkeypatch):
    spilled = []

    class Small(held.HeldBytes):
        def spill(self):
            spilled.append(self.in_memory)
            super().spill()

    monkeypatch.setattr(held, "HeldBytes", Small)
    monkeypatch.setattr(held, "_CHUNK", 1 << 12)
    monkeypatch.setattr(resize, "memory_for_one_image", lambda _: 1 << 14)
    call("run", dataset.raw, tmp_path / "work", tmp_path / "out", *PIPELINE, "--workers", 1)
    assert len(spilled) >= 3
    assert max(spilled) <= 1 << 14
    assert digests(tmp_path / "out") == digests(dataset.out)
    assert {path.suffix for path in (tmp_path / "work" / "parts").iterdir()} == {".json", ".parquet", ".tar"}


def test_deep_verification_takes_no_memory_for_them(tmp_path):
    def swap(split, number, sample):
        is_costly = split == "val" and number < len(COSTLY)
        return replace(sample, image=list(COSTLY.values())[number][0]) if is_costly else sample

    dataset = write_dataset(tmp_path / "dataset", train=(20,), val=(30,), replace=swap)
    run, peak = with_peak(*PREP, "verify", "--deep", dataset)
    assert run.returncode == 1, run.stderr
    assert "E401" in run.stdout
    assert peak < 400

"""Parts that rot between resize and shard: named, made anew, and never sealed into a shard."""

import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from commands import RefusedError, call, digests, prep
from dumps import PIPELINE, SAMPLES_PER_SHARD, SIZE

from in21k.prep.errors import DamagedPartError
from in21k.prep.stages.parts import with_sound_parts

TRAIN = "train/in21k-train-000000.tar"


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 4  # 700 is within an image: no header, no padding
    path.write_bytes(content)


DAMAGE = {
    "a flipped bit": lambda part: flip(part, 700),
    "a flipped bit in a header": lambda part: flip(part, 3),
    "a block of zeros": lambda part: part.write_bytes(bytes(1024) + part.read_bytes()[1024:]),
    "a lost end": lambda part: part.write_bytes(part.read_bytes()[:-2048]),
    "no tar": Path.unlink,
    "a flipped bit in the table": lambda part: flip(part.with_suffix(".parquet"), 60),
    "an empty table": lambda part: part.with_suffix(".parquet").write_bytes(b""),
    "an empty table of rejects": lambda part: part.with_suffix(".rejects.parquet").write_bytes(b""),
}


@pytest.fixture
def work(dataset, tmp_path):
    return shutil.copytree(dataset.work, tmp_path / "work")


def a_part(work: Path) -> Path:
    return max((work / "parts").glob("part-*.tar"), key=lambda path: path.stat().st_size)


@pytest.mark.usefixtures("inline")
@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_run_makes_a_damaged_part_anew_and_only_that(dataset, work, tmp_path, damage):
    part = a_part(work)
    others = {path: path.stat().st_mtime_ns for path in (work / "parts").glob("*.tar") if path != part}
    damage(part)
    call("run", dataset.raw, work, tmp_path / "out", *PIPELINE, "--workers", 1)
    assert digests(tmp_path / "out") == digests(dataset.out)
    assert {path: path.stat().st_mtime_ns for path in others} == others


@pytest.mark.usefixtures("inline")
def test_shard_names_the_part_and_resize_makes_it_anew(dataset, work, tmp_path):
    part, out = a_part(work), tmp_path / "out"
    flip(part, 700)
    shard = ("shard", work, out, "--samples-per-shard", SAMPLES_PER_SHARD, "--workers", 1)
    with pytest.raises(RefusedError, match=rf"{part.name} is damaged .*; `in21k-prep resize` makes the part anew"):
        call(*shard)
    call("resize", work, "--size", SIZE, "--workers", 1)
    call(*shard)
    assert digests(out) == digests(dataset.out)


def test_workers_that_find_damage_end_the_run_with_one_note(dataset, work, tmp_path):
    for part in sorted((work / "parts").glob("*.tar"))[:2]:
        flip(part, 700)
    run = prep("run", dataset.raw, work, tmp_path / "out", *PIPELINE, "--workers", 2)
    assert run.returncode == 0, run.stderr
    notes = [line for line in run.stderr.splitlines() if "is damaged" in line]
    assert len(notes) == 2
    assert digests(tmp_path / "out") == digests(dataset.out)


def test_a_part_that_rots_again_at_once_ends_the_run():
    def stages() -> None:
        raise DamagedPartError("part 3 is damaged", 3)

    notes: list[str] = []
    with pytest.raises(DamagedPartError, match="part 3"):
        with_sound_parts(stages, notes.append)
    assert notes == ["part 3 is damaged"]


@pytest.mark.usefixtures("inline")
@pytest.mark.parametrize("lost", [TRAIN, "manifest.json"])
def test_repair_seals_no_damage_either(dataset, work, tmp_path, lost):
    out = shutil.copytree(dataset.out, tmp_path / "out")
    part = a_part(work)
    flip(part, 700)
    (out / lost).unlink()
    for shard in out.glob("*/*.tar"):
        shard.unlink(missing_ok=True)
    with pytest.raises(RefusedError, match=rf"{part.name} is damaged"):
        call("repair", work, out, "--workers", 1)
    call("resize", work, "--size", SIZE, "--workers", 1)
    call("repair", work, out, "--workers", 1)
    assert digests(out) == digests(dataset.out)


@pytest.mark.usefixtures("inline")
def test_parts_of_older_versions_without_checksums_are_merged(dataset, work, tmp_path):
    for path in (work / "parts").glob("part-*[0-9].parquet"):
        pq.write_table(pq.read_table(path).drop_columns(["crc32"]), path)
    call("run", dataset.raw, work, tmp_path / "out", *PIPELINE, "--workers", 1)
    assert digests(tmp_path / "out") == digests(dataset.out)

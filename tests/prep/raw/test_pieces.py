import gzip
from pathlib import Path

import pytest
from commands import RefusedError, call
from dumps import MIN_IMAGES, PIPELINE, images_of, make_dump
from raw_contents import read_raw

DOG, CAT = "n02084071", "n02121620"
WANTED = {(wnid, name): [data] for wnid in (DOG, CAT) for name, data in images_of(wnid, MIN_IMAGES)}

pytestmark = pytest.mark.usefixtures("inline")


def dump(folder: Path) -> bytes:
    return make_dump(folder / "whole.tar", {wnid: images_of(wnid, MIN_IMAGES) for wnid in (DOG, CAT)}).read_bytes()


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzipped"])
@pytest.mark.parametrize("name", ["{}", "raw.tar.{}.part", "raw.part{:03}"])
def test_a_pattern_of_pieces_is_one_dump(pack, name, tmp_path):
    (tmp_path / "raw").mkdir()
    packed = pack(dump(tmp_path))
    step = len(packed) // 11
    for number, start in enumerate(range(0, len(packed), step)):
        (tmp_path / "raw" / name.format(number)).write_bytes(packed[start : start + step])
    found = read_raw(tmp_path / "raw" / "*", tmp_path / "work")
    assert (found.images, found.rejects) == (WANTED, [])


def test_a_dump_in_pieces_is_prepared(tmp_path):
    packed = gzip.compress(dump(tmp_path))
    for number in range(2):
        (tmp_path / f"raw.gz.{number}").write_bytes(packed[number * 9000 : number * 9000 + (9000, len(packed))[number]])
    summary = call("run", tmp_path / "raw.gz.?", tmp_path / "work", tmp_path / "out", *PIPELINE, "--workers", 1)
    assert (summary["train"] + summary["val"], summary["rejected"]) == (2 * MIN_IMAGES, 0)


def test_a_file_that_is_called_like_a_pattern_is_that_file(tmp_path):
    (tmp_path / "raw[1].tar").write_bytes(dump(tmp_path))
    assert read_raw(tmp_path / "raw[1].tar", tmp_path / "work").images == WANTED


def test_a_pattern_that_names_no_file_is_one_line(tmp_path):
    with pytest.raises(RefusedError, match=r"raw\.\*: no file has such a name"):
        call("filter", tmp_path / "raw.*", tmp_path / "work")


@pytest.mark.parametrize("pattern", ["raw.gz.{0..2}", "raw.gz.{0,1,2}", "raw.{gz.[01],gz.2}"])
def test_braces_are_a_pattern_too(pattern, tmp_path):
    packed = gzip.compress(dump(tmp_path))
    for number in range(3):
        (tmp_path / f"raw.gz.{number}").write_bytes(packed[number * 5000 : (number + 1) * 5000 if number < 2 else None])
    assert read_raw(tmp_path / pattern, tmp_path / "work").images == WANTED


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("raw.{0..2}", r"raw\.\{0\.\.2\}: no file has such a name as raw\.1"),
        ("raw.{0..2", "a brace is not closed"),
        ("raw.{0..999}{0..999}{0..9}", "the braces stand for over 1,000,000 names"),
    ],
)
def test_braces_that_fit_nothing_are_one_line(pattern, message, tmp_path):
    for number in (0, 2):
        (tmp_path / f"raw.{number}").write_bytes(b"")
    with pytest.raises(RefusedError, match=message):
        call("filter", tmp_path / pattern, tmp_path / "work")


def test_a_folder_of_files_of_no_known_name_is_one_line_that_gives_the_pattern(tmp_path):
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "one-of-some.bin").write_bytes(dump(tmp_path))
    with pytest.raises(RefusedError, match=r"raw holds neither .* give them as a pattern \('.*raw/\*'\)"):
        call("filter", tmp_path / "raw", tmp_path / "work")


@pytest.mark.parametrize("zeros", [1, 5, 512, 100_000])
def test_zeros_behind_a_gzip_do_no_harm(zeros, tmp_path):
    (tmp_path / "raw.tar.gz").write_bytes(gzip.compress(dump(tmp_path)) + bytes(zeros))
    for _ in ("without an index", "with one"):
        found = read_raw(tmp_path / "raw.tar.gz", tmp_path / "work")
        assert (found.images, found.rejects) == (WANTED, [])


def test_zeros_behind_a_gzipped_class_tar_do_no_harm(tmp_path):
    (tmp_path / "raw").mkdir()
    packed = gzip.compress(dump(tmp_path)[512:])  # without the outer header, the first class tar and more
    (tmp_path / "raw" / f"{CAT}.tar.gz").write_bytes(packed + bytes(1000))
    found = read_raw(tmp_path / "raw", tmp_path / "work")
    assert found.counts()[CAT] == MIN_IMAGES

import gzip
from pathlib import Path

import pytest
from dumps import images_of, make_dump, tar_bytes
from raw_contents import read_raw

from in21k.prep.errors import PrepError

DOG, CAT, COW = "n02084071", "n02121620", "n01887787"


def half(folder: Path, *wnids: str) -> bytes:
    return make_dump(folder / "half.tar", {wnid: images_of(wnid, 3) for wnid in wnids}).read_bytes()


def joined_dumps(folder: Path) -> Path:
    (folder / "raw.tar").write_bytes(half(folder, DOG, CAT) + half(folder, COW))
    return folder / "raw.tar"


def joined_and_gzipped(folder: Path) -> Path:
    joined_dumps(folder)
    (folder / "raw.tar.gz").write_bytes(gzip.compress((folder / "raw.tar").read_bytes(), 1))
    return folder / "raw.tar.gz"


def two_gzips_joined(folder: Path) -> Path:
    halves = half(folder, DOG, CAT), half(folder, COW)
    (folder / "raw.tar.gz").write_bytes(b"".join(gzip.compress(each, 1) for each in halves))
    return folder / "raw.tar.gz"


def joined_class_tars(folder: Path) -> Path:
    classes = {wnid: tar_bytes(images_of(wnid, 3)[:1]) + tar_bytes(images_of(wnid, 3)[1:]) for wnid in (DOG, CAT, COW)}
    return make_dump(folder / "raw.tar", classes)


def joined_class_tars_in_a_folder(folder: Path) -> Path:
    (folder / "raw").mkdir()
    for wnid in (DOG, CAT, COW):
        files = images_of(wnid, 3)
        (folder / "raw" / f"{wnid}.tar").write_bytes(tar_bytes(files[:2]) + tar_bytes(files[2:]))
    return folder / "raw"


def joined_class_folders(folder: Path) -> Path:
    tars = [tar_bytes((f"{wnid}/{name}", data) for name, data in images_of(wnid, 3)) for wnid in (DOG, CAT, COW)]
    (folder / "raw.tar").write_bytes(b"".join(tars))
    return folder / "raw.tar"


JOINED = [
    joined_dumps,
    joined_and_gzipped,
    two_gzips_joined,
    joined_class_tars,
    joined_class_tars_in_a_folder,
    joined_class_folders,
]


@pytest.mark.parametrize("make", JOINED, ids=lambda make: make.__name__)
def test_tars_that_were_joined_give_the_images_of_all(make, tmp_path):
    found = read_raw(make(tmp_path), tmp_path / "work")
    wanted = {(wnid, name): [data] for wnid in (DOG, CAT, COW) for name, data in images_of(wnid, 3)}
    assert found.images == wanted
    assert found.rejects == []


@pytest.mark.parametrize("junk", [b"x", b"x" * 5000, bytes(5000) + b"x"], ids=["a-byte", "blocks", "behind-zeros"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzipped"])
def test_what_lies_behind_the_end_mark_of_a_dump_is_a_row(junk, pack, tmp_path):
    (tmp_path / "raw.tar").write_bytes(pack(half(tmp_path, DOG) + junk))
    found = read_raw(tmp_path / "raw.tar", tmp_path / "work")
    assert found.counts() == {DOG: 3}
    assert found.refusals() == {("", "", "behind-end-mark")}


def test_what_lies_behind_the_end_mark_of_a_class_tar_is_a_row_of_the_class(tmp_path):
    cats = tar_bytes(images_of(CAT, 3))
    raw = make_dump(tmp_path / "raw.tar", {DOG: images_of(DOG, 3), CAT: cats + b"<html>" * 100})
    found = read_raw(raw, tmp_path / "work")
    assert found.counts() == {DOG: 3, CAT: 3}
    assert found.refusals() == {(CAT, "", "behind-end-mark")}
    assert found.rejects[0].detail.startswith("600 bytes")


def test_what_lies_behind_the_end_mark_of_class_folders_is_a_row(tmp_path):
    (tmp_path / "raw.tar").write_bytes(tar_bytes([(f"{DOG}/{DOG}_1.JPEG", b"1")]) + b"x" * 700)
    found = read_raw(tmp_path / "raw.tar", tmp_path / "work")
    assert found.refusals() == {("", "", "behind-end-mark")}


def test_a_second_dump_that_is_cut_is_an_error_and_not_half_a_dump(tmp_path):
    (tmp_path / "raw.tar").write_bytes(half(tmp_path, DOG) + half(tmp_path, CAT)[:2000])
    with pytest.raises(PrepError, match=r"raw\.tar is truncated or damaged"):
        read_raw(tmp_path / "raw.tar", tmp_path / "work")


def test_one_block_of_zeros_between_members_ends_nothing(tmp_path):
    first = tar_bytes(images_of(DOG, 1))
    data = first[: first.rindex(b"\xff\xd9") // 512 * 512 + 512] + bytes(512) + tar_bytes(images_of(DOG, 3)[1:])
    found = read_raw(make_dump(tmp_path / "raw.tar", {DOG: data}), tmp_path / "work")
    assert (found.counts(), found.rejects) == ({DOG: 3}, [])

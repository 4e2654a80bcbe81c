import gzip
import tarfile
from pathlib import Path

import pytest
from dumps import make_dump, tar_bytes, tar_member
from raw_contents import read_raw

DOG, CAT = "n02084071", "n02121620"


def hard(name: str, target: str) -> tuple[tarfile.TarInfo, bytes]:
    return tar_member(name, kind=tarfile.LNKTYPE, linkname=target), b""


def soft(name: str, target: str) -> tuple[tarfile.TarInfo, bytes]:
    return tar_member(name, kind=tarfile.SYMTYPE, linkname=target), b""


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


LONG = "deep/" * 30
FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzipped"])
@pytest.mark.parametrize("tar_format", FORMATS.values(), ids=FORMATS)
def test_a_hard_link_between_class_folders_is_an_image(pack, tar_format, tmp_path):
    files = [(f"./{DOG}/1.JPEG", b"one"), (f"{DOG}/2.JPEG", b"two"), (f"{CAT}/3.JPEG", b"three")]
    links = [hard(f"{CAT}/4.JPEG", f"{DOG}/1.JPEG"), hard(f"{CAT}/5.JPEG", f"./{DOG}/2.JPEG")]
    raw = written(tmp_path / "raw.tar", pack(tar_bytes([*files, *links], tar_format)))
    found = read_raw(raw, tmp_path / "work")
    assert {name: data for (wnid, name), data in found.images.items() if wnid == CAT} == {
        "3.JPEG": [b"three"],
        "4.JPEG": [b"one"],
        "5.JPEG": [b"two"],
    }
    assert found.rejects == []


@pytest.mark.parametrize("tar_format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT], ids=["gnu", "pax"])
def test_a_hard_link_to_a_long_name_in_a_class_tar_is_an_image(tar_format, tmp_path):
    dogs = tar_bytes([(f"{LONG}1.JPEG", b"one"), hard("2.JPEG", f"{LONG}1.JPEG")], tar_format)
    found = read_raw(make_dump(tmp_path / "raw.tar", {CAT: [("1.JPEG", b"cat")], DOG: dogs}), tmp_path / "work")
    assert found.images == {(CAT, "1.JPEG"): [b"cat"], (DOG, "1.JPEG"): [b"one"], (DOG, "2.JPEG"): [b"one"]}
    assert found.rejects == []


def test_a_hard_link_to_a_hard_link_leads_to_the_file_as_it_was_then(tmp_path):
    dogs = [
        ("1.JPEG", b"old"),
        hard("2.JPEG", "1.JPEG"),
        ("1.JPEG", b"new"),
        hard("3.JPEG", "2.JPEG"),
        hard("4.JPEG", "1.JPEG"),
    ]
    found = read_raw(make_dump(tmp_path / "raw.tar", {DOG: dogs}), tmp_path / "work")
    links = {name: data for (_, name), data in found.images.items() if name != "1.JPEG"}
    assert links == {"2.JPEG": [b"old"], "3.JPEG": [b"old"], "4.JPEG": [b"new"]}


def test_a_hard_link_to_a_file_that_is_no_image_by_its_name_is_one(tmp_path):
    found = read_raw(make_dump(tmp_path / "raw.tar", {DOG: [("1", b"one"), hard("2.JPEG", "1")]}), tmp_path / "work")
    assert found.images == {(DOG, "2.JPEG"): [b"one"]}
    assert found.refusals() == {(DOG, "1", "not-an-image-name")}


def test_a_link_that_leads_nowhere_is_a_row_that_says_where(tmp_path):
    dogs = [("1.JPEG", b"one"), hard("2.JPEG", "3.JPEG"), ("3.JPEG", b"too late"), soft("4.JPEG", "../away.JPEG")]
    found = read_raw(make_dump(tmp_path / "raw.tar", {DOG: dogs}), tmp_path / "work")
    assert {(reject.name, reject.reason.value, reject.detail) for reject in found.rejects} == {
        ("2.JPEG", "not-a-file", "a hard link to 3.JPEG, which is no file before it in the archive"),
        ("4.JPEG", "not-a-file", "a symbolic link to ../away.JPEG"),
    }


def test_hard_links_of_a_damaged_class_tar_are_followed_up_to_the_damage(tmp_path):
    dogs = bytearray(tar_bytes([("1.JPEG", b"one"), hard("2.JPEG", "1.JPEG"), ("3.JPEG", b"three")]))
    dogs[1536] ^= 1
    found = read_raw(make_dump(tmp_path / "raw.tar", {DOG: bytes(dogs)}), tmp_path / "work")
    assert found.images == {(DOG, "1.JPEG"): [b"one"], (DOG, "2.JPEG"): [b"one"]}
    assert found.refusals() == {(DOG, "", "corrupt-tar")}

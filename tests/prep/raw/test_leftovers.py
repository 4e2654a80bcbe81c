import gzip
import os
from pathlib import Path

import pytest
from dumps import images_of, tar_bytes
from raw_contents import read_raw

from in21k.prep.errors import PrepError
from in21k.prep.raw.open import open_raw
from in21k.shards_manifest.storage.location import locate

DOG, CAT, COW = "n02084071", "n02121620", "n01887787"
WANTED = {(wnid, name): [data] for wnid in (DOG, CAT, COW) for name, data in images_of(wnid, 3)}


def unpack(folder: Path, wnid: str, count: int = 3) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in images_of(wnid, count):
        (folder / name).write_bytes(data)


def class_folders(folder: Path) -> Path:
    for wnid in (DOG, CAT, COW):
        unpack(folder / wnid, wnid)
    return folder


def folders_beside_tars(folder: Path) -> Path:
    unpack(folder / DOG, DOG)
    for wnid in (CAT, COW):
        (folder / f"{wnid}.tar").write_bytes(tar_bytes(images_of(wnid, 3)))
    return folder


def tars_of_all_suffixes(folder: Path) -> Path:
    folder.mkdir()
    (folder / f"{DOG}.TAR").write_bytes(tar_bytes(images_of(DOG, 3)))
    (folder / f"{CAT}.tar.gz").write_bytes(gzip.compress(tar_bytes(images_of(CAT, 3))))
    (folder / f"{COW}.tgz").write_bytes(gzip.compress(tar_bytes(images_of(COW, 3))))
    return folder


def a_class_folder_in_itself(folder: Path) -> Path:
    class_folders(folder)
    (folder / DOG / DOG).mkdir()
    name = images_of(DOG, 3)[2][0]
    (folder / DOG / name).rename(folder / DOG / DOG / name)
    return folder


def a_class_folder_in_another(folder: Path) -> Path:
    class_folders(folder)
    (folder / DOG).rename(folder / CAT / DOG)
    return folder


def images_in_a_folder_of_a_class(folder: Path) -> Path:
    class_folders(folder)
    (folder / DOG / "images").mkdir()
    for name, _ in images_of(DOG, 3):
        (folder / DOG / name).rename(folder / DOG / "images" / name)
    return folder


def links_to_class_folders(folder: Path) -> Path:
    folder.mkdir()
    class_folders(folder.with_name("elsewhere"))
    for wnid in (DOG, CAT, COW):
        (folder / wnid).symlink_to(folder.with_name("elsewhere") / wnid)
    return folder


def the_folder_above(folder: Path) -> Path:
    class_folders(folder / "imagenet21k" / "winter21_whole")
    return folder


LEFTOVERS = [
    class_folders,
    folders_beside_tars,
    tars_of_all_suffixes,
    a_class_folder_in_itself,
    a_class_folder_in_another,
    images_in_a_folder_of_a_class,
    links_to_class_folders,
    the_folder_above,
]


@pytest.mark.parametrize("make", LEFTOVERS, ids=lambda make: make.__name__)
def test_every_image_of_a_folder_is_found(make, tmp_path):
    found = read_raw(make(tmp_path / "raw"), tmp_path / "work")
    assert found.images == WANTED
    assert found.rejects == []


def test_what_lies_beside_the_classes_has_rows(tmp_path):
    raw = folders_beside_tars(tmp_path / "raw")
    (raw / "md5.txt").write_text("sums")
    (raw / "stray.JPEG").write_bytes(b"1")
    (raw / "notes").mkdir()
    (raw / f"{DOG}.tar").symlink_to("gone.tar")
    found = read_raw(raw, tmp_path / "work")
    assert found.images == WANTED
    assert found.refusals() == {
        ("", "md5.txt", "not-a-class-tar"),
        ("", "stray.JPEG", "not-in-a-class"),
        ("", "notes", "not-a-class-tar"),
        ("", f"{DOG}.tar", "not-a-class-tar"),
    }


def test_what_lies_beside_the_folder_of_classes_has_rows(tmp_path):
    raw = the_folder_above(tmp_path / "raw")
    (raw / "imagenet21k" / "dogs").mkdir()
    (raw / "readme.txt").write_text("read me")
    found = read_raw(raw, tmp_path / "work")
    assert found.images == WANTED
    assert found.refusals() == {("", "dogs", "not-a-class-tar"), ("", "readme.txt", "not-a-class-tar")}


def test_several_folders_of_classes_are_one_line_that_names_them(tmp_path):
    for name in ("fall11", "winter21"):
        class_folders(tmp_path / "raw" / name)
    with pytest.raises(PrepError, match=r"give one of them: .*raw/fall11, .*raw/winter21"):
        open_raw(locate(tmp_path / "raw"), locate(tmp_path / "work"))


def test_a_folder_that_holds_the_dump_as_a_tar_is_one_line_that_names_the_tar(tmp_path):
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "fall11_whole.tar").write_bytes(tar_bytes([(f"{DOG}.tar", tar_bytes(images_of(DOG, 3)))]))
    (tmp_path / "raw" / "README").write_text("read me")
    with pytest.raises(PrepError, match=r"if it is the dump, give .*raw/fall11_whole\.tar$"):
        open_raw(locate(tmp_path / "raw"), locate(tmp_path / "work"))
    (tmp_path / "raw" / "fall11_whole.tar").rename(tmp_path / "raw" / f"{DOG}.tar")
    assert open_raw(locate(tmp_path / "raw"), locate(tmp_path / "work")).layout == "class-tars"


def test_links_in_a_class_folder_are_images_or_rows(tmp_path):
    raw = class_folders(tmp_path / "raw")
    (raw / DOG / "file.JPEG").symlink_to(f"../{CAT}/{CAT}_0.JPEG")
    (raw / DOG / "folder").symlink_to("..")
    (raw / DOG / "gone.JPEG").symlink_to("nowhere.JPEG")
    (raw / DOG / "circle.JPEG").symlink_to("circle.JPEG")
    found = read_raw(raw, tmp_path / "work")
    assert found.images == {**WANTED, (DOG, "file.JPEG"): WANTED[CAT, f"{CAT}_0.JPEG"]}
    assert {(reject.name, reject.reason.value, reject.detail) for reject in found.rejects} == {
        ("folder", "not-a-file", "a link to .."),
        ("gone.JPEG", "not-a-file", "a link to nowhere.JPEG"),
        ("circle.JPEG", "not-a-file", "a link to circle.JPEG"),
    }


def test_a_damaged_gzipped_class_tar_is_a_row_and_its_neighbors_stay(tmp_path):
    raw = tars_of_all_suffixes(tmp_path / "raw")
    packed = (raw / f"{CAT}.tar.gz").read_bytes()
    (raw / f"{CAT}.tar.gz").write_bytes(packed[: len(packed) // 2])
    found = read_raw(raw, tmp_path / "work")
    assert found.counts() == {DOG: 3, COW: 3}
    assert found.refusals() == {(CAT, "", "corrupt-tar")}


@pytest.mark.parametrize("place", ["file", "class", "tar"])
def test_names_that_are_no_utf8_are_read_and_printed_escaped(place, tmp_path):
    raw = class_folders(tmp_path / "raw")
    odd = os.fsdecode(b"caf\xe9")
    try:
        if place == "file":
            (raw / DOG / f"{odd}.JPEG").write_bytes(b"1")
        elif place == "class":
            unpack(raw / odd, DOG, 1)
        else:
            (raw / f"{odd}.tar").write_bytes(tar_bytes([("1.JPEG", b"1")]))
    except OSError:
        pytest.skip("this file system takes no such names")
    found = read_raw(raw, tmp_path / "work")
    (added,) = {key: data for key, data in found.images.items() if key not in WANTED}.items()
    assert (
        added
        == {
            "file": ((DOG, "caf\\xe9.JPEG"), [b"1"]),
            "class": (("caf\\xe9", f"{DOG}_0.JPEG"), [images_of(DOG, 1)[0][1]]),
            "tar": (("caf\\xe9", "1.JPEG"), [b"1"]),
        }[place]
    )


@pytest.mark.parametrize("inner", ["", "images/", f"{DOG}/", "a/b/"])
def test_folders_within_the_class_folders_of_a_tar_belong_to_the_class(inner, tmp_path):
    files = [(f"whole/{DOG}/{inner}{name}", data) for name, data in images_of(DOG, 3)]
    (tmp_path / "raw.tar").write_bytes(tar_bytes(files))
    found = read_raw(tmp_path / "raw.tar", tmp_path / "work")
    assert (found.counts(), found.rejects) == ({DOG: 3}, [])

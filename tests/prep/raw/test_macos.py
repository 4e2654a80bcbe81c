"""Dumps that went through a Mac: metadata beside every file, and names in decomposed letters."""

import unicodedata
from pathlib import Path

from dumps import images_of, tar_bytes
from raw_contents import read_raw

from in21k.prep.stages.split import sample_key

DOG, CAT = "n02084071", "n02121620"
DECOMPOSED = unicodedata.normalize("NFD", "chién.JPEG")
COMPOSED = unicodedata.normalize("NFC", DECOMPOSED)
FILES = {f"{wnid}/{name}": data for wnid in (DOG, CAT) for name, data in images_of(wnid, 2)}
FILES |= {f"{DOG}/{name}": data for name, data in zip((DECOMPOSED, COMPOSED), FILES.values(), strict=False)}
WANTED = {tuple(path.split("/")): [data] for path, data in FILES.items()}
METADATA = {
    ".DS_Store": ("", ".DS_Store"),
    f"._{CAT}": ("", f"._{CAT}"),
    f"{DOG}/.DS_Store": (DOG, ".DS_Store"),
    f"{DOG}/._{DECOMPOSED}": (DOG, f"._{DECOMPOSED}"),
    f"__MACOSX/._{DOG}": ("", f"._{DOG}"),
    "__MACOSX/cat.JPEG": ("", "cat.JPEG"),
    f"__MACOSX/{DOG}/._{COMPOSED}": (DOG, f"._{COMPOSED}"),
}
"""The class and name of the row that each gets."""


def put(folder: Path, files: dict[str, bytes]) -> Path:
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return folder


def all_files() -> dict[str, bytes]:
    return dict(sorted((FILES | dict.fromkeys(METADATA, b"\0\5\26\7")).items()))


def test_a_folder_has_each_image_and_a_row_for_each_file_of_metadata(tmp_path):
    found = read_raw(put(tmp_path / "raw", all_files()), tmp_path / "work")
    assert found.images == WANTED
    assert sorted((reject.wnid, reject.name) for reject in found.rejects) == sorted(METADATA.values())


def test_a_tar_of_class_folders_has_each_image_and_a_row_for_each_file_of_metadata(tmp_path):
    (tmp_path / "raw.tar").write_bytes(tar_bytes(all_files().items()))
    found = read_raw(tmp_path / "raw.tar", tmp_path / "work")
    assert found.images == WANTED
    rows = sorted((reject.wnid, reject.name.rpartition("/")[2]) for reject in found.rejects)
    assert rows == sorted(METADATA.values())


def test_a_tar_of_class_tars_has_a_row_for_what_is_none(tmp_path):
    tars = {f"{wnid}.tar": tar_bytes(images_of(wnid, 2)) for wnid in (DOG, CAT)}
    others = [".DS_Store", f"._{DOG}.tar", f"__MACOSX/._{DOG}.tar"]
    (tmp_path / "raw.tar").write_bytes(tar_bytes((dict.fromkeys(others, b"\0\5\26\7") | tars).items()))
    found = read_raw(tmp_path / "raw.tar", tmp_path / "work")
    assert found.counts() == {DOG: 2, CAT: 2}
    assert found.refusals() == {("", name, "not-a-class-tar") for name in others}


def test_metadata_beside_an_unpacked_zip_is_no_second_folder_of_classes(tmp_path):
    put(tmp_path / "raw", {f"dump/{path}": data for path, data in FILES.items()})
    put(tmp_path / "raw", {f"__MACOSX/dump/{DOG}/._{COMPOSED}": b"\0\5\26\7"})
    found = read_raw(tmp_path / "raw", tmp_path / "work")
    assert found.images == WANTED
    assert found.refusals() == {("", "__MACOSX", "not-a-class-tar")}


def test_composed_and_decomposed_names_are_two_samples():
    assert sample_key(DOG, COMPOSED) != sample_key(DOG, DECOMPOSED)

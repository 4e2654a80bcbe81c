"""How folders and tars name classes: any names, names that a file of edges has, or paths."""

import os

import pytest
from dumps import jpeg, make_dump, tar_bytes

from in21k.prep.errors import PrepError
from in21k.prep.raw.class_labels import ANY_NAMES, PATHS, ClassLabels
from in21k.prep.raw.open import open_raw
from in21k.shards_manifest.storage.location import locate

PICTURES = ["shapes/round/ball/1.jpg", "shapes/round/2.jpg", "shapes/flat/ball/3.jpg", "colors/4.jpg"]


def classes_in(raw, tmp_path, labels):
    found: dict[str, list[str]] = {}
    for of_class in open_raw(locate(raw), locate(tmp_path / "work"), labels).classes():
        found.setdefault(of_class.wnid, []).extend(sorted(image.name for image in of_class.images))
    return found


def as_folder(tmp_path, names=PICTURES):
    for name in names:
        path = tmp_path / "raw" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg())
    return tmp_path / "raw"


def as_tar(tmp_path, names=PICTURES):
    (tmp_path / "raw.tar").write_bytes(tar_bytes([(name, jpeg()) for name in names]))
    return tmp_path / "raw.tar"


@pytest.mark.parametrize("make", [as_folder, as_tar])
def test_a_class_is_the_path_of_its_folder_so_that_equal_names_stay_apart(make, tmp_path):
    assert classes_in(make(tmp_path), tmp_path, PATHS) == {
        "shapes/round/ball": ["1.jpg"],
        "shapes/round": ["2.jpg"],
        "shapes/flat/ball": ["3.jpg"],
        "colors": ["4.jpg"],
    }


def test_class_tars_within_nested_folders_are_classes(tmp_path):
    raw = as_folder(tmp_path)
    (raw / "shapes" / "flat" / "disc.v2.tar").write_bytes(tar_bytes([("a.jpg", jpeg())]))
    assert classes_in(raw, tmp_path, PATHS)["shapes/flat/disc.v2"] == ["a.jpg"]


def test_a_link_in_a_nested_folder_is_not_followed(tmp_path):
    raw = as_folder(tmp_path)
    (raw / "shapes" / "round" / "again").symlink_to("..")
    found = [each for each in open_raw(locate(raw), locate(tmp_path / "work"), PATHS).classes() if each.rejects]
    assert [(each.wnid, each.rejects[0].detail) for each in found] == [("shapes/round", "a link to ..")]


def test_without_a_folder_of_images_there_are_no_nested_classes(tmp_path):
    (tmp_path / "raw" / "empty").mkdir(parents=True)
    with pytest.raises(PrepError, match="no folders with images"):
        open_raw(locate(tmp_path / "raw"), locate(tmp_path / "work"), PATHS)


@pytest.mark.parametrize("make", [as_folder, as_tar])
def test_the_innermost_folder_that_is_a_label_names_the_class(make, tmp_path):
    labels = ClassLabels({"ball", "round"}.__contains__)
    names = [name.replace("shapes/", "") for name in PICTURES[:3]] + ["round/other/5.jpg"]
    found = classes_in(make(tmp_path, names), tmp_path, labels)
    assert {label: sorted(names) for label, names in found.items() if names} == {
        "ball": ["1.jpg", "3.jpg"],
        "round": ["2.jpg", "other/5.jpg"],
    }


def test_any_outermost_folder_is_a_class_even_if_one_within_it_is_named_by_a_wnid(tmp_path):
    raw = as_folder(tmp_path, ["cat/n02084071/1.jpg", "Cat/2.jpg", "con/3.jpg"])
    assert classes_in(raw, tmp_path, ANY_NAMES) == {"Cat": ["2.jpg"], "cat": ["n02084071/1.jpg"], "con": ["3.jpg"]}


def test_class_tars_of_any_names_are_classes(tmp_path):
    raw = make_dump(tmp_path / "raw.tar", {"wild cat": tar_bytes([("1.jpg", jpeg())])})
    assert classes_in(raw, tmp_path, ANY_NAMES) == {"wild cat": ["1.jpg"]}


def test_a_folder_name_that_is_no_unicode_gives_a_label_that_is(tmp_path):
    folder = tmp_path / "raw" / os.fsdecode(b"a\xff")
    folder.mkdir(parents=True)
    (folder / "1.jpg").write_bytes(jpeg())
    assert classes_in(tmp_path / "raw", tmp_path, PATHS) == {r"a\xff": ["1.jpg"]}

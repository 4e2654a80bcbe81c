"""What counts as an image, in folders and tars: links, what macOS leaves, joined tars, and no validation images."""

import gzip
import pickle
from pathlib import Path

import numpy as np
import pytest
from downstream import one_epoch, write_images
from small_coco import write_coco
from small_dataset import jpeg
from small_open_images import write_open_images
from small_years import write_year

from in21k.shards_manifest.tar import END, member_bytes
from in21k.train.data.open_data import DataRequest, open_data
from in21k.train.data.open_datasets.image_folder import open_image_folder
from in21k.train.data.open_datasets.webdataset import open_webdataset
from in21k.train.errors import TrainError

JUNK = ("__MACOSX/ant/._0.jpg", "__MACOSX/ant/0.jpg", "ant/._0.jpg", "ant/.DS_Store", ".hidden/0.jpg")


def keys(data, split="train") -> list[str]:
    return sorted(data.splits[split].keys)


def tar_of(names: list[str]) -> bytes:
    """A tar in which `0.jpg` is an image, and `0.cls` says its class, 0."""
    return (
        b"".join(member_bytes(name, jpeg(0, 0) if name.endswith("jpg") else name[-5].encode()) for name in names) + END
    )


def test_links_to_folders_are_followed_and_loops_are_not(tmp_path):
    elsewhere = write_images(tmp_path / "elsewhere", {"1.jpg": 0, "deep/2.jpg": 0})
    root = write_images(tmp_path / "around" / "root", {"train/ant/0.jpg": 0, "train/bee/0.jpg": 1, "val/ant/0.jpg": 0})
    train = root / "train"
    for link, target in {
        "cow": elsewhere,  # a class
        "loop": root,  # no class
        "ant/linked": elsewhere,
        "ant/up": train,
        "ant/self": "self",
        "ant/dog.jpg": elsewhere / "1.jpg",
    }.items():
        (train / link).symlink_to(target)
    (elsewhere / "back").symlink_to(train / "bee")
    (elsewhere / "again").symlink_to(elsewhere)
    data = open_image_folder(root)
    assert data.classes == ["ant", "bee", "cow"]
    of_link = ["1.jpg", "back/0.jpg", "deep/2.jpg"]
    expected = ["ant/0.jpg", "ant/dog.jpg", *(f"ant/linked/{name}" for name in of_link), "bee/0.jpg"]
    assert keys(data) == sorted(f"train/{name}" for name in [*expected, *(f"cow/{name}" for name in of_link)])
    reader = data.reader("train")()
    assert all(len(sample.image) for sample in reader.collect(range(data.samples("train"))))


def test_what_macos_leaves_is_no_image_and_no_class(tmp_path):
    write_images(tmp_path, {"train/ant/0.jpg": 0, "val/ant/0.jpg": 0})
    write_images(tmp_path / "train", dict.fromkeys(JUNK, 0))
    data = open_image_folder(tmp_path)
    assert (data.classes, keys(data)) == (["ant"], ["train/ant/0.jpg"])
    (tmp_path / "val.tar").write_bytes(tar_of(["0.jpg", "0.cls"]))
    (tmp_path / "train.tar").write_bytes(
        tar_of(["__MACOSX/._0.jpg", "._0.jpg", ".DS_Store", "0.jpg", "._0.cls", "0.cls"])
    )
    assert keys(open_webdataset(str(tmp_path / "train.tar"), str(tmp_path / "val.tar"))) == ["train/0"]


def test_joined_tars_are_read_to_the_end(tmp_path):
    (tmp_path / "val.tar").write_bytes(tar_of(["0.jpg", "0.cls"]))
    both = tar_of(["0.jpg", "0.cls"]) + bytes(10 << 10) + tar_of(["1.jpg", "1.cls"])
    (tmp_path / "train.tar").write_bytes(both)
    data = open_webdataset(str(tmp_path))
    assert keys(data) == ["train/0", "train/1"]
    assert data.images_train.tolist() == [1, 1]
    (tmp_path / "train.tar").write_bytes(both + b"no tar")
    with pytest.raises(TrainError, match=r"train\.tar: the 6 bytes from byte [\d,]+ on are no tar; copy it again"):
        open_webdataset(str(tmp_path))


def cifar_tar(names: dict[str, object], extra: tuple[str, ...] = ()) -> bytes:
    members = [(f"cifar-100-python/{name}", pickle.dumps(content, 2)) for name, content in names.items()]
    return b"".join(member_bytes(*member) for member in [*((name, b"junk") for name in extra), *members]) + END


@pytest.mark.parametrize("packed", [bytes, gzip.compress], ids=["plain", "gzipped"])
def test_cifars_archive_is_read_to_the_end_without_what_macos_leaves(tmp_path, packed):
    batch = {"data": np.zeros((4, 3072), np.uint8), "fine_labels": [0, 1, 1, 0]}
    first = cifar_tar(
        {"meta": {"fine_label_names": ["ant", "bee"]}, "train": batch}, ("__MACOSX/cifar-100-python/test",)
    )
    path = tmp_path / "cifar-100-python.tar.gz"
    path.write_bytes(packed(first + bytes(10 << 10) + cifar_tar({"test": batch})))
    data = open_data(DataRequest(str(path)))
    assert (data.samples("train"), data.samples("val")) == (4, 4)


def test_what_macos_leaves_beside_tars_and_lists_is_neither(tmp_path):
    (tmp_path / "tars").mkdir()
    for name in ("a-train-0.tar", "a-val-0.tar"):
        (tmp_path / "tars" / name).write_bytes(tar_of(["0.jpg", "0.cls"]))
        (tmp_path / "tars" / f"._{name}").write_bytes(b"junk")
    assert keys(open_data(DataRequest(str(tmp_path / "tars")))) == ["a-train-0/0"]
    root = write_open_images(tmp_path / "open")
    for path in list(root.glob("*.csv")):
        path.with_name(f"._{path.name}").write_bytes(b"junk")
    assert open_data(DataRequest(str(root))).samples("train") == 40


def test_folders_that_lead_to_themselves_are_no_layout(tmp_path):
    names = ("train", "val", "annotations", "ImageSets", "devkit", "train.json", "class_list.txt", "cars_annos.mat")
    for name in names:
        (tmp_path / name).symlink_to(name)
    (tmp_path / "VOC2007").symlink_to(tmp_path)
    with pytest.raises(TrainError, match="has none of the known layouts"):
        open_data(DataRequest(str(tmp_path)))


def empty_coco(root: Path) -> Path:
    write_coco(root, val=0)
    return root


def empty_voc(root: Path) -> Path:
    write_images(root / "JPEGImages", {"0.jpg": 0})
    (root / "Annotations").mkdir()
    (root / "Annotations" / "0.xml").write_text("<annotation><object><name>ant</name></object></annotation>")
    (root / "ImageSets" / "Main").mkdir(parents=True)
    (root / "ImageSets" / "Main" / "train.txt").write_text("0\n")
    (root / "ImageSets" / "Main" / "val.txt").write_text("\n")
    return root


def empty_tars(root: Path) -> Path:
    root.mkdir()
    (root / "train.tar").write_bytes(tar_of(["0.jpg", "0.cls"]))
    (root / "val.tar").write_bytes(END)
    return root


def empty_year(root: Path) -> Path:
    return write_year(root, "2021", counts=(12, 0))


@pytest.mark.parametrize("write", [empty_coco, empty_voc, empty_tars, empty_year])
def test_an_empty_val_is_no_validation(tmp_path, write):
    data = open_data(DataRequest(str(write(tmp_path / "data"))))
    assert data.samples("train") > 0
    assert data.samples("val") == 0


def test_images_of_several_labels_train_without_validation(capsys, tmp_path):
    summary = one_epoch(capsys, empty_coco(tmp_path / "coco"), tmp_path / "run")
    assert summary["val_note"] == "there are no val images to evaluate on"

"""What counts as an image, in folders and tars: links, what macOS leaves, joined tars, and no validation images."""

from pathlib import Path

import pytest
from downstream import one_epoch, write_images
from small_coco import write_coco
from small_dataset import jpeg

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


@pytest.mark.parametrize("write", [empty_coco, empty_voc, empty_tars])
def test_an_empty_val_is_no_validation(tmp_path, write):
    data = open_data(DataRequest(str(write(tmp_path / "data"))))
    assert data.samples("train") > 0
    assert data.samples("val") == 0


def test_images_of_several_labels_train_without_validation(capsys, tmp_path):
    summary = one_epoch(capsys, empty_coco(tmp_path / "coco"), tmp_path / "run")
    assert summary["val_note"] == "there are no val images to evaluate on"

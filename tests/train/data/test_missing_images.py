"""An image that is not there is told before training starts: which one, how many, and what to do."""

import json
import re
from pathlib import Path

import pytest
from downstream import write_images
from small_coco import coco, write_coco
from train_runs import answer

from in21k.train.data.open_datasets.coco import open_coco
from in21k.train.data.open_datasets.voc import open_voc
from in21k.train.errors import TrainError


def write_voc(root: Path) -> Path:
    names = [f"{number:06d}" for number in range(8)]
    write_images(root / "JPEGImages", {f"{name}.jpg": 0 for name in names})
    write_images(root / "Annotations", {f"{name}.xml": 0 for name in names})
    for name in names:
        (root / "Annotations" / f"{name}.xml").write_text("<annotation><object><name>ant</name></object></annotation>")
    (root / "ImageSets" / "Main").mkdir(parents=True)
    (root / "ImageSets" / "Main" / "train.txt").write_text("\n".join(names[:6]))
    (root / "ImageSets" / "Main" / "val.txt").write_text("\n".join(names[6:]))
    return root


@pytest.mark.parametrize("split", ["train", "val"])
def test_coco_names_the_first_image_that_is_missing_and_counts_them(tmp_path, split):
    root = write_coco(tmp_path)
    for number in (2, 5, 3):
        (root / f"{split}2017" / f"{number:03d}.jpg").unlink()
    told = (
        f"instances_{split}2017.json lists 3 images not to be found in {root}/{split}2017, such as 002.jpg; copy them"
    )
    with pytest.raises(TrainError, match=re.escape(told)):
        open_coco(root)


def test_coco_checks_images_of_which_a_share_is_held_out(tmp_path):
    root = write_coco(tmp_path)
    (root / "annotations" / "instances_val2017.json").unlink()
    (root / "train2017" / "000.jpg").unlink()
    with pytest.raises(TrainError, match=r"lists 1 image not to be found in .*train2017, such as 000\.jpg"):
        open_coco(root, val_share=0.25)


def test_coco_refuses_to_train_on_what_it_validates_on(tmp_path):
    root = write_coco(tmp_path)
    content = coco(8)
    content["images"] = [{**image, "file_name": f"images/{image['id']}.jpg"} for image in content["images"]]
    write_images(root / "images", {f"{100 + number}.jpg": 0 for number in range(8)})
    for split in ("train", "val"):
        (root / "annotations" / f"instances_{split}2017.json").write_text(json.dumps(content))
    with pytest.raises(TrainError, match=r"lists the image images/100\.jpg, which .*train2017\.json lists, too"):
        open_coco(root)


@pytest.mark.parametrize(("split", "number"), [("train", 1), ("val", 7)])
def test_voc_names_the_first_image_that_is_missing(tmp_path, split, number):
    root = write_voc(tmp_path)
    (root / "JPEGImages" / f"{number:06d}.jpg").unlink()
    told = rf"Main, {split} lists 1 image not to be found in .*JPEGImages, such as {number:06d}\.jpg; copy them there"
    with pytest.raises(TrainError, match=told):
        open_voc(root)


def test_a_link_that_leads_nowhere_is_a_missing_image(capsys, tmp_path):
    root = write_coco(tmp_path / "coco")
    write_images(tmp_path / "folder", {"train/ant/0.jpg": 0, "train/bee/0.jpg": 1, "val/ant/0.jpg": 0})
    for link in (root / "train2017" / "004.jpg", tmp_path / "folder" / "train" / "ant" / "1.jpg"):
        link.unlink(missing_ok=True)
        link.symlink_to("gone.jpg")
    for data, told in (
        (root, "such as 004.jpg"),
        (tmp_path / "folder", "train/ant/1.jpg is no file, nor leads to one"),
    ):
        how = ["--checkpoint", "timm:test_resnet", "--output", tmp_path / "run"]
        status, out, err = answer(capsys, "transfer", data, *how)
        assert (status, out, err.count("\n")) == (1, "", 1)
        assert told in err
    assert not (tmp_path / "run").exists()


def test_what_to_do_names_only_options_that_the_layout_has(tmp_path):
    root = write_coco(tmp_path)
    (root / "train2017" / "001.jpg").unlink()
    with pytest.raises(TrainError, match="copy them there, or leave them out of the list"):
        open_coco(root)

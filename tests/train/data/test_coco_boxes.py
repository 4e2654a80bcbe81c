"""Boxes of COCO's annotation files: what is used, what is clipped, and what is a row with its reason."""

import csv
import json
import math

import numpy as np
import pytest
from shape_boxes import annotation, change, write_annotations, write_shapes

from in21k.train.data.open_datasets.boxes import write_skipped_boxes
from in21k.train.data.open_datasets.coco_boxes import open_coco_boxes
from in21k.train.errors import TrainError

DAMAGED = {
    "unknown image": {"image_id": 99},
    "unknown category": {"category_id": 4},
    "no box": {"bbox": [1, 2, 3]},
    "not finite": {"bbox": [1, 2, math.nan, 4]},
    "no area": {"bbox": [1, 2, 0, 4]},
    "outside the image": {"bbox": [500, 2, 10, 10]},
}
ODD = {
    "an image that is a list": {"image_id": [1]},
    "a category that is true": {"category_id": True},
    "a box of words": {"bbox": ["1", "2", "3", "4"]},
    "no box at all": {"bbox": None},
    "infinite": {"bbox": [1, -math.inf, 3, 4]},
    "a number of 400 digits": {"bbox": [1, 2, 3, 10**400]},
    "negative width": {"bbox": [20, 2, -10, 4]},
    "touches the edge from outside": {"bbox": [-10, 2, 10, 10]},
}


@pytest.fixture
def shapes(tmp_path):
    return write_shapes(tmp_path / "shapes", train=6, val=3)


def skipped_rows(run, data) -> list[dict[str, str]]:
    write_skipped_boxes(run, data)
    with (run / "skipped_boxes.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_boxes_and_classes_are_those_of_the_file(shapes, tmp_path):
    content = json.loads((shapes / "annotations/instances_train2017.json").read_text())
    data = open_coco_boxes(shapes)
    assert (list(data.classes), data.samples("train"), data.samples("val")) == (["circle", "square", "triangle"], 6, 3)
    for row, image in enumerate(content["images"]):
        own = [each for each in content["annotations"] if each["image_id"] == image["id"]]
        boxes, classes = data.boxes["train"].of(row)
        assert [[x, y, r - x, b - y] for x, y, r, b in boxes.tolist()] == [each["bbox"] for each in own]
        assert classes.tolist() == [{3: 0, 5: 1, 8: 2}[each["category_id"]] for each in own]
    assert skipped_rows(tmp_path, data) == []


@pytest.mark.parametrize("reason", DAMAGED)
def test_a_damaged_box_is_a_row_with_its_reason(shapes, tmp_path, reason):
    bad = annotation(1000, 1, 3, [1, 2, 10, 10]) | DAMAGED[reason]
    sound = open_coco_boxes(shapes)
    change(shapes, lambda content: content["annotations"].insert(1, bad))
    data = open_coco_boxes(shapes)
    (row,) = skipped_rows(tmp_path, data)
    assert (row["annotation"], row["reason"], row["used"]) == ("1000", reason, "no")
    assert row["file"].endswith("instances_train2017.json")
    assert data.digest == sound.digest


@pytest.mark.parametrize("odd", ODD)
def test_whatever_stands_in_an_annotation_is_counted(shapes, odd):
    change(shapes, lambda content: content["annotations"].append(annotation(1000, 1, 3, [1, 2, 10, 10]) | ODD[odd]))
    assert [each.annotation for each in open_coco_boxes(shapes).skipped_boxes] == ["1000"]


def test_a_box_that_reaches_out_of_its_image_is_clipped_in_training_and_told(shapes, tmp_path):
    content = change(shapes, lambda content: content["annotations"].append(annotation(1000, 1, 3, [-5, -5, 400, 20.5])))
    data = open_coco_boxes(shapes)
    (row,) = skipped_rows(tmp_path, data)
    assert (row["reason"], row["used"], row["box"]) == ("reaches out of the image", "clipped", "[-5, -5, 400, 20.5]")
    assert data.boxes["train"].of(0)[0][-1].tolist() == [0, 0, content["images"][0]["width"], 15.5]
    assert [-5, -5, 400, 20.5] in data.boxes["train"].boxes.tolist()  # as COCO's metric takes them


def test_a_rounding_beyond_the_edge_is_clipped_without_a_word(shapes):
    change(shapes, lambda content: content["annotations"].append(annotation(1000, 1, 3, [-0.5, 0, 20, 20])))
    data = open_coco_boxes(shapes)
    assert (data.skipped_boxes, data.boxes["train"].of(0)[0][-1].tolist()) == ((), [0, 0, 19.5, 20])


def test_crowds_are_not_learned_and_images_without_boxes_only_on_request(shapes):
    def empty(content):
        for each in content["annotations"]:
            each["iscrowd"] = int(each["image_id"] == 1)
        content["annotations"] = [each for each in content["annotations"] if each["image_id"] != 8]

    change(shapes, empty)
    change(shapes, empty, "val2017")
    few, all_of_them = open_coco_boxes(shapes), open_coco_boxes(shapes, keep_empty=True)
    assert (few.samples("train"), few.samples("val")) == (4, 3)
    assert all_of_them.samples("train") == 6
    assert [len(all_of_them.boxes["train"].of(row)[0]) > 0 for row in range(6)] == [False, False, *[True] * 4]
    assert all_of_them.boxes["train"].is_crowd.any()


def test_another_box_is_another_dataset(shapes):
    before = open_coco_boxes(shapes).digest
    change(shapes, lambda content: content["annotations"][0].update(bbox=[1, 1, 9, 9]))
    assert open_coco_boxes(shapes).digest != before


def test_held_out_images_take_their_boxes_along(shapes):
    (shapes / "annotations/instances_val2017.json").unlink()
    data = open_coco_boxes(shapes, val_share=0.3)
    assert (data.samples("train"), data.samples("val")) == (4, 2)
    whole = open_coco_boxes(shapes, val=str(write_annotations(shapes, "val2017", [], [])))
    rows = {key: row for row, key in enumerate(whole.splits["train"].keys)}
    for split in ("train", "val"):
        for row, key in enumerate(data.splits[split].keys):
            for found, wanted in zip(data.boxes[split].of(row), whole.boxes["train"].of(rows[key]), strict=True):
                assert np.array_equal(found, wanted)


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        (lambda content: content["images"][0].pop("width"), "width and height"),
        (lambda content: content["images"][0].update(height=10**9), "width and height"),
        (lambda content: content["images"][0].update(height=True), "width and height"),
        (lambda content: content["images"][1].update(id=1), "id of an image"),
        (lambda content: content["images"][1].update(id={"a": 1}), "id of an image"),
        (lambda content: content["images"][1].update(file_name="../x.jpg"), "outside the image folder"),
        (lambda content: content["categories"][1].update(id=3), "id of a category"),
        (lambda content: content["categories"][1].update(id="5"), "id of a category"),
        (lambda content: content.pop("categories"), "'categories' is missing"),
        (lambda content: content.update(images=3), "not a COCO annotation file"),
        (lambda content: content.update(annotations=[]), "no box to learn from"),
    ],
)
def test_a_broken_file_is_one_line_that_names_it(shapes, broken, told):
    change(shapes, broken)
    with pytest.raises(TrainError, match=told) as caught:
        open_coco_boxes(shapes)
    assert "instances_train2017.json" in str(caught.value)


def test_files_may_be_named(shapes, tmp_path):
    for split in ("train2017", "val2017"):
        (shapes / f"annotations/instances_{split}.json").rename(tmp_path / f"{split}.json")
    with pytest.raises(TrainError, match="--annotations"):
        open_coco_boxes(shapes)
    data = open_coco_boxes(shapes, str(tmp_path / "train2017.json"), str(tmp_path / "val2017.json"))
    assert (data.samples("train"), data.samples("val")) == (6, 3)

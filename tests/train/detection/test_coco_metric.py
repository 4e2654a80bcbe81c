"""COCO's metric: what pycocotools says of the same boxes, and values computed by hand."""

import json

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from shape_boxes import annotation, write_annotations, write_shapes

from in21k.train.data.open_datasets.coco_boxes import open_coco_boxes
from in21k.train.detection.coco_metric import NAMES, ImageBoxes, coco_scores

IDS = {3: 0, 5: 1, 8: 2}


def answers_of(data, rng) -> dict[int, ImageBoxes]:
    """Boxes near those of the val split, some of a wrong class, some missing, some of nothing."""
    found = {}
    for row in range(len(data.boxes["val"])):
        own, classes = data.boxes["val"].of(row)
        corner = rng.uniform(0, 40, (3, 2))
        boxes = np.concatenate([own + rng.normal(0, 2, own.shape), np.concatenate([corner, corner + 30], axis=1)])
        labels = np.concatenate(
            [np.where(rng.random(len(own)) < 0.2, (classes + 1) % 3, classes), rng.integers(0, 3, 3)]
        )
        found[row] = ImageBoxes(boxes, labels.astype(np.int64), rng.random(len(boxes)))
    return found


@pytest.fixture
def fixture(tmp_path):
    """Shapes of which some are crowds; large and small ones, whose areas are stated as less than their boxes'."""
    root = write_shapes(tmp_path / "shapes", train=6, val=12, side=160)
    path = root / "annotations/instances_val2017.json"
    content = json.loads(path.read_text())
    for at, each in enumerate(content["annotations"]):
        each.update(iscrowd=int(at % 5 == 0), area=each["area"] * (0.6 if at % 2 else 1))
    content["annotations"][1].update(bbox=[0, 0, 120, 120], area=14400)
    path.write_text(json.dumps(content))
    return root


def test_it_is_what_pycocotools_says_of_the_file(fixture, tmp_path):
    data = open_coco_boxes(fixture)
    found = answers_of(data, np.random.default_rng(0))
    scores = coco_scores(data.boxes["val"], found, 3)
    truth = COCO(str(fixture / "annotations/instances_val2017.json"))
    categories = {index: number for number, index in IDS.items()}
    written = [
        {
            "image_id": 7 * row + 1,
            "category_id": categories[index],
            "bbox": [box[0], box[1], box[2] - box[0], box[3] - box[1]],
            "score": score,
        }
        for row, own in found.items()
        for index, box, score in zip(own.classes.tolist(), own.boxes.tolist(), own.scores.tolist(), strict=True)
    ]
    (tmp_path / "answers.json").write_text(json.dumps(written))
    judge = COCOeval(truth, truth.loadRes(str(tmp_path / "answers.json")), "bbox")
    judge.evaluate()
    judge.accumulate()
    judge.summarize()
    assert dict(scores.numbers) == dict(zip(NAMES, judge.stats.tolist(), strict=True))
    assert len(set(scores.numbers.values())) > 8
    assert scores.by_class[:, 0].mean() == pytest.approx(scores.numbers["map"])
    assert scores.by_class[:, 1].mean() == pytest.approx(scores.numbers["map50"])


def by_hand(tmp_path, boxes, scores, classes=None, crowd=0):
    """The metric of boxes in one image of 100 pixels with a circle at 10, 10, of 40 pixels, and a second one beside."""
    root = write_shapes(tmp_path / "one", train=2, val=1)
    size = json.loads((root / "annotations/instances_val2017.json").read_text())["images"]
    own = [annotation(1, 1, 3, [10, 10, 40, 40]), annotation(2, 1, 3, [60, 10, 30, 30], iscrowd=crowd)]
    write_annotations(root, "val2017", size, own)
    data = open_coco_boxes(root)
    labels = np.array(classes or [0] * len(boxes), np.int64)
    corners = np.array(boxes, np.float64).reshape(-1, 4)
    return coco_scores(data.boxes["val"], {0: ImageBoxes(corners, labels, np.array(scores, np.float64))}, 3)


def test_perfect_boxes_have_an_average_precision_of_one(tmp_path):
    found = by_hand(tmp_path, [[10, 10, 50, 50], [60, 10, 90, 40]], [0.9, 0.8])
    assert (found.numbers["map"], found.numbers["mar_100"], found.numbers["mar_1"]) == (1, 1, 0.5)
    assert found.numbers["map_large"] is None
    assert found.by_class[0].tolist() == [1, 1]
    assert np.isnan(found.by_class[1:]).all()


def test_a_box_counts_at_the_overlaps_that_it_reaches(tmp_path):
    """40 × 32 of 40 × 40 is an overlap of 0.8: found at 0.5 to 0.8, seven of ten; one of two circles is a recall of a
    half, which 51 of 101 recall thresholds do not exceed."""
    found = by_hand(tmp_path, [[10, 10, 50, 42]], [0.9])
    assert found.numbers["map50"] == pytest.approx(51 / 101)
    assert found.numbers["map"] == pytest.approx(7 / 10 * 51 / 101)


def test_a_certain_mistake_halves_the_precision(tmp_path):
    found = by_hand(tmp_path, [[0, 60, 20, 80], [10, 10, 50, 50], [60, 10, 90, 40]], [0.9, 0.8, 0.7])
    assert found.numbers["map50"] == pytest.approx(2 / 3)


def test_a_crowd_counts_neither_for_nor_against(tmp_path):
    found = by_hand(tmp_path, [[10, 10, 50, 50], [60, 10, 75, 40], [75, 10, 90, 40]], [0.9, 0.95, 0.94], crowd=1)
    assert (found.numbers["map"], found.numbers["mar_100"]) == (pytest.approx(1), 1)


def test_a_detector_that_finds_nothing_has_zero(tmp_path):
    assert by_hand(tmp_path, [], []).numbers["map"] == 0


def test_it_prints_nothing(tmp_path, capsys):
    by_hand(tmp_path, [[10, 10, 50, 50]], [0.9])
    assert capsys.readouterr().out == ""

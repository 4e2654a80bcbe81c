"""Boxes in images: predict with a detector, its forms, its pictures, and what it refuses."""

import csv
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from shape_boxes import write_shapes
from train_runs import answer

from in21k.train.detection.box_rows import SCHEMA

MODEL = "test_efficientnet"


@pytest.fixture(scope="module")
def shapes(tmp_path_factory) -> Path:
    return write_shapes(tmp_path_factory.mktemp("shapes") / "shapes", train=4, val=3, side=64)


@pytest.fixture(scope="module")
def detector(shapes, tmp_path_factory) -> Path:
    """A run of one step; Faster R-CNN tells boxes even then."""
    from in21k.train.data.open_data import DataRequest
    from in21k.train.detection.training import train_detector
    from in21k.train.recipes.recipe import open_recipe
    from in21k.train.transfer.transfer import TransferRequest

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("detector")
    save_file(timm.create_model(MODEL).state_dict(), folder / "weights.safetensors")
    values = {"model.name": MODEL, "optim.epochs": 1, "data.batch_size": 4, "run.device": "cpu", "run.workers": 0}
    values |= {"data.image_size": 64, "detection.width": 16, "detection.least_side": 0, "model.frozen_stages": 0}
    request = TransferRequest(
        data=DataRequest(str(shapes)),
        checkpoint=str(folder / "weights.safetensors"),
        recipe=open_recipe("detection-faster-rcnn"),
        values=values,
    )
    train_detector(request, folder / "run")
    return folder / "run"


def predict(capsys, detector, *how: object) -> tuple[int, str, str]:
    return answer(capsys, "predict", *how, "--checkpoint", detector, "--device", "cpu", "--confidence", 0)


def test_boxes_are_lines_and_json(detector, shapes, capsys):
    images = sorted((shapes / "val2017").iterdir())
    status, out, err = predict(capsys, detector, *images, "--json")
    assert (status, err) == (0, "")
    found = json.loads(out)
    assert [each["image"] for each in found] == list(map(str, images))
    for each in found:
        assert each["boxes"]
        with Image.open(each["image"]) as image:
            width, height = image.size
        scores = [box["score"] for box in each["boxes"]]
        assert scores == sorted(scores, reverse=True)
        for box in each["boxes"]:
            left, top, w, h = box["box"]
            assert min(left, top) >= -0.01
            assert (left + w <= width + 0.01, top + h <= height + 0.01) == (True, True)
            assert ("circle", "square", "triangle")[box["class_index"]] == box["name"] == box["wnid"]
    lines = [json.loads(line) for line in predict(capsys, detector, *images, "--jsonl")[1].splitlines()]
    assert lines == found
    text = predict(capsys, detector, images[0])[1].splitlines()
    assert text[0] == f"{images[0]}: {len(found[0]['boxes'])} boxes"
    assert len(text) == 1 + len(found[0]["boxes"])


def rows_of(path: Path) -> list[dict]:
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("suffix", ["csv", "parquet", "jsonl"])
def test_a_file_has_a_row_per_box_and_one_for_an_image_without(detector, shapes, tmp_path, capsys, suffix):
    images, bad, output = sorted((shapes / "val2017").iterdir()), tmp_path / "bad.jpg", tmp_path / f"boxes.{suffix}"
    bad.write_bytes(b"no image")
    printed = predict(capsys, detector, *images, bad, "--jsonl")[1]
    status, out, err = predict(capsys, detector, *images, bad, "--output", output)
    assert (status, str(output) in out, f"error: {bad}: " in err) == (1, True, True)
    if suffix == "jsonl":
        assert output.read_text() == printed
        return
    rows, found = rows_of(output), [json.loads(line) for line in printed.splitlines()]
    assert list(rows[0]) == SCHEMA.names
    for each in found[:-1]:
        own = [row for row in rows if row["image"] == each["image"]]
        assert [int(row["rank"]) for row in own] == list(range(1, len(each["boxes"]) + 1))
        for row, box in zip(own, each["boxes"], strict=True):
            assert (row["kind"], row["name"], float(row["score"])) == ("box", box["name"], box["score"])
            assert [float(row[side]) for side in ("left", "top", "width", "height")] == box["box"]
    assert [(row["kind"], row["error"]) for row in rows if row["image"] == str(bad)] == [("error", found[-1]["error"])]
    sure = ["--checkpoint", detector, "--device", "cpu", "--confidence", 1, "--output", output]
    assert answer(capsys, "predict", images[0], *sure)[0] == 0
    assert [(row["kind"], row["name"] or None) for row in rows_of(output)] == [("none", None)]


def test_a_file_of_boxes_replaces_no_other(detector, shapes, tmp_path, capsys):
    output = tmp_path / "boxes.csv"
    output.write_text("mine")
    status, _, err = predict(capsys, detector, shapes / "val2017", "--output", output)
    assert (status, output.read_text()) == (1, "mine")
    assert "exists and is not a CSV of predictions; give another --output" in err


def test_a_batch_changes_no_box(detector, shapes, capsys):
    images = sorted((shapes / "val2017").iterdir())
    one, all_of_them = (json.loads(predict(capsys, detector, *these, "--json")[1]) for these in (images[:1], images))
    for ours, theirs in zip(one[0]["boxes"], all_of_them[0]["boxes"], strict=True):
        assert ours["box"] == pytest.approx(theirs["box"], abs=0.05)


def test_least_scores_leave_boxes_out(detector, shapes, capsys):
    image = shapes / "val2017/0000.jpg"
    everything = json.loads(predict(capsys, detector, image, "--json")[1])[0]["boxes"]
    least = everything[len(everything) // 2]["score"]
    given = ["predict", image, "--checkpoint", detector, "--device", "cpu", "--json", "--confidence", least]
    assert json.loads(answer(capsys, *given)[1])[0]["boxes"] == [each for each in everything if each["score"] >= least]


def test_an_image_that_cannot_be_read_is_a_line_and_status_1(detector, shapes, tmp_path, capsys):
    bad, good = tmp_path / "bad.jpg", shapes / "val2017/0000.jpg"
    bad.write_bytes(b"no image")
    status, out, err = predict(capsys, detector, bad, good, "--jsonl", "--draw", tmp_path / "drawn")
    assert status == 1
    assert err.startswith(f"in21k-train: error: {bad}: ")
    assert [("error" in each, "boxes" in each) for each in map(json.loads, out.splitlines())] == [
        (True, False),
        (False, True),
    ]
    assert [path.name for path in (tmp_path / "drawn").iterdir()] == ["0000.png"]


def test_boxes_are_drawn_on_the_image_in_its_own_size(detector, shapes, tmp_path, capsys):
    image = shapes / "val2017/0000.jpg"
    assert predict(capsys, detector, image, "--draw", tmp_path / "drawn")[0] == 0
    before, after = np.asarray(Image.open(image)), np.asarray(Image.open(tmp_path / "drawn/0000.png"))
    assert before.shape == after.shape
    assert (before != after).any()
    assert not list((tmp_path / "drawn").glob(".tmp-*"))


def test_images_of_one_name_get_pictures_of_their_own(detector, shapes, tmp_path, capsys):
    images = [shapes / split / "0000.jpg" for split in ("val2017", "train2017")]
    assert predict(capsys, detector, *images, "--draw", tmp_path / "drawn")[0] == 0
    assert sorted(path.name for path in (tmp_path / "drawn").iterdir()) == ["000000-0000.png", "000001-0000.png"]


def test_a_file_that_is_there_already_is_not_drawn_over(detector, shapes, tmp_path, capsys):
    (tmp_path / "0001.png").write_text("mine")
    status, out, err = predict(capsys, detector, shapes / "val2017", "--draw", tmp_path)
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert "holds 0001.png already" in err
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("0001.png", "mine")]


@pytest.mark.parametrize(
    ("how", "told"),
    [(["--top", 3], "are for classifiers"), (["--picture", "x.png"], "are for classifiers")],
)
def test_a_classifiers_options_are_refused(detector, shapes, capsys, how, told):
    status, _, err = predict(capsys, detector, shapes / "val2017", *how)
    assert status == 2
    assert told in err


def test_a_classifier_finds_no_boxes(shapes, tmp_path, capsys, dataset_folder):
    from train_runs import trained

    run = trained(dataset_folder, tmp_path / "run", "test_resnet")
    image = shapes / "val2017/0000.jpg"
    status, _, err = predict(capsys, run, image, "--task", "detection")
    assert (status, "is a classifier" in err) == (1, True)
    assert predict(capsys, run, image, "--draw", tmp_path / "drawn")[0] == 2

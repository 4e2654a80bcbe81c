"""A CSV of images and their labels, as a dataset to transfer to."""

from pathlib import Path

import pytest
from downstream import (
    average_precision,
    class_scores,
    logits_of,
    mean_average_precision,
    micro_average_precision,
    one_epoch,
    top_k,
    write_images,
)
from train_runs import answer

from in21k.train.data.open_data import DataRequest, open_data
from in21k.train.data.open_datasets import csv_list
from in21k.train.data.open_datasets.csv_list import open_csv_list
from in21k.train.errors import TrainError

CLASSES = ("ant", "bee", "cow", "dog", "eel", 'fox, "red"')


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"' if "," in name else name


def write_list(folder: Path, name: str, count: int, labels=lambda at: [at % len(CLASSES)], heading="") -> Path:
    """A CSV and its images, in folders of ten."""
    chosen = {f"{name}/{at // 10}/{at}.jpg": labels(at) for at in range(count)}
    write_images(folder / "images", {image: sum(found) for image, found in chosen.items()})
    lines = [",".join([image, *(quoted(CLASSES[at]) for at in found)]) for image, found in chosen.items()]
    path = folder / f"{name}.csv"
    path.write_text("".join(f"{line}\n" for line in ([heading] if heading else []) + lines))
    return path


def images_and_labels(data, split: str, root: Path) -> tuple[list[bytes], list[set[int]]]:
    listed = data.splits[split]
    sets = [{int(at) for at in data.label_sets[row] if at >= 0} for row in listed.label_ids]
    return [(root / key).read_bytes() for key in listed.keys], sets


@pytest.mark.parametrize("heading", ["", "image_name,class"])
def test_a_csv_of_one_label_per_image_scores_top1_and_top5(capsys, tmp_path, heading):
    train = write_list(tmp_path, "train", 48, heading=heading)
    val = write_list(tmp_path, "val", 30, heading=heading)
    summary = one_epoch(capsys, train, tmp_path / "run", "--images", tmp_path / "images", "--val", val)
    assert (summary["classes"], summary["val_images"]) == (6, 30)
    data = open_csv_list(train, str(tmp_path / "images"), str(val))
    assert data.hierarchy.wnids == CLASSES
    images, sets = images_and_labels(data, "val", tmp_path / "images")
    assert sets == [{at % 6} for at in range(30)]
    logits = logits_of(tmp_path / "run", images)
    labels = [min(found) for found in sets]
    assert summary["val_top1"] == top_k(logits, labels, 1)
    assert summary["val_top5"] == top_k(logits, labels, 5)
    hits = logits.argmax(1) == labels
    assert class_scores(tmp_path / "run") == pytest.approx(
        {
            name: hits[[at for at, label in enumerate(labels) if label == number]].mean()
            for number, name in enumerate(CLASSES)
        }
    )


def test_a_csv_of_several_labels_scores_map(capsys, tmp_path):
    several = lambda at: [label for label in range(3) if at >> label & 1]  # noqa: E731
    train, val = write_list(tmp_path, "train", 32, several), write_list(tmp_path, "val", 24, several)
    summary = one_epoch(capsys, train, tmp_path / "run", "--images", tmp_path / "images", "--val", val)
    images, sets = images_and_labels(
        open_csv_list(train, str(tmp_path / "images"), str(val)), "val", tmp_path / "images"
    )
    assert sets[:5] == [set(), {0}, {1}, {0, 1}, {2}]
    logits = logits_of(tmp_path / "run", images)
    assert summary["val_map"] == pytest.approx(mean_average_precision(logits, sets), rel=1e-6)
    assert summary["val_map_micro"] == pytest.approx(micro_average_precision(logits, sets), rel=1e-6)
    assert class_scores(tmp_path / "run") == pytest.approx(
        {
            name: average_precision(logits[:, number].tolist(), [number in found for found in sets])
            for number, name in enumerate(CLASSES[:3])
        },
        rel=1e-6,
    )


def test_a_share_of_each_class_is_held_out_and_the_paths_begin_beside_the_csv(tmp_path):
    path = write_list(tmp_path, "train", 60)
    beside = path.rename(tmp_path / "images" / "all.csv")
    data = open_data(DataRequest(str(beside), val_share=0.1))
    assert (data.images_train.tolist(), data.images_val.tolist()) == ([9] * 6, [1] * 6)
    assert not set(data.splits["train"].keys) & set(data.splits["val"].keys)
    with pytest.raises(TrainError, match=r"has no validation images; list them with --val, or pass --val-share"):
        open_data(DataRequest(str(beside)))


def test_a_csv_without_validation_images_trains_without_validation(capsys, tmp_path):
    train = write_list(tmp_path, "train", 12)
    (tmp_path / "val.csv").write_text("path,label\n")
    how = ["--images", tmp_path / "images", "--val", tmp_path / "val.csv"]
    assert one_epoch(capsys, train, tmp_path / "run", *how)["val_images"] == 0


def test_blank_lines_byte_order_marks_and_blanks_around_fields_do_not_count(tmp_path):
    write_images(tmp_path, {"a b.jpg": 0, "c.jpg": 1, "d.jpg": 1})
    (tmp_path / "x.csv").write_bytes("\ufeff a b.jpg , ant \r\n\r\n,,\r\n./c.jpg,bee,\r\nd.jpg,bee".encode())
    (tmp_path / "v.csv").write_text("")
    data = open_csv_list(tmp_path / "x.csv", val=str(tmp_path / "v.csv"))
    assert list(data.splits["train"].keys) == ["a b.jpg", "c.jpg", "d.jpg"]
    assert data.images_train.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("train", "val", "message"),
    [
        ("../a.jpg,ant", "", "names the image '../a.jpg', which is outside the image folder"),
        ("/etc/a.jpg,ant", "", "names the image '/etc/a.jpg', which is outside"),
        ("a.jpg,ant\nb.jpg", "", "gives b.jpg no label"),
        ("a.jpg,ant\na.jpg,bee", "", "lists the image a.jpg twice; list it once, with all its labels"),
        ("a.jpg,ant", "a.jpg,ant", r"val\.csv lists the image a\.jpg, which .*train\.csv lists, too"),
        ("a.jpg,ant", "b.jpg,gnu", r"val\.csv gives b\.jpg the label 'gnu', which no training image has"),
        ("a.jpg,ant\nz.jpg,ant", "", r"lists 1 image not to be found in .*, such as z\.jpg"),
        ("path,label", "", "lists no images"),
        ('a.jpg,"ant', "", "is not a CSV in UTF-8"),
        (b"a.jpg,\xff\xfe", "", "is not a CSV in UTF-8"),
        ("a.jpg," + "x" * 200_000, "", "is not a CSV in UTF-8: field larger than"),
        ("a.jpg," + ",".join(map(str, range(1001))), "", "gives a.jpg 1,001 labels, over the limit of 1,000"),
    ],
)
def test_a_list_that_is_not_sound_is_one_line(tmp_path, train, val, message):
    write_images(tmp_path, {"a.jpg": 0, "b.jpg": 1})
    for name, content in (("train", train), ("val", val)):
        (tmp_path / f"{name}.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(TrainError, match=message):
        open_csv_list(tmp_path / "train.csv", val=str(tmp_path / "val.csv"))


def test_a_list_over_the_limits_is_refused_before_it_is_read(monkeypatch, tmp_path):
    path = write_list(tmp_path, "train", 12)
    monkeypatch.setattr(csv_list, "MOST_BYTES", 100)
    with pytest.raises(TrainError, match=r"train\.csv has \d+ bytes, over the limit of 100"):
        open_csv_list(path, str(tmp_path / "images"), val_share=0.5)


def test_options_that_a_layout_has_no_use_for_are_refused(capsys, tmp_path):
    path = write_list(tmp_path, "train", 12)
    arguments = [
        "--annotations",
        "x.json",
        "--layout",
        "csv",
        "--checkpoint",
        "timm:test_vit",
        "--output",
        tmp_path / "run",
    ]
    status, out, err = answer(capsys, "transfer", path, *arguments)
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert "data of the layout csv have no use for --annotations" in err
    status, _, err = answer(capsys, "transfer", path, *arguments[2:], "--images", tmp_path / "nowhere")
    assert (status, err.count("\n")) == (1, 1)
    assert "nowhere: there is no such folder" in err

"""The report of a dataset with what a model says of it: the tables, the pictures, and what is refused."""

import hashlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from commands import RefusedError, call
from explorer_pages import data_of, pictures_of

from in21k.shards_manifest.prediction_tables import DATASET, MODEL, OF_FILE, per_class_schema, prediction_schema


def tables_of(dataset):
    """Return the rows of images and of classes of a model that takes every image for class 0, surer by the row."""
    samples = pq.read_table(dataset.out / "samples.parquet", filters=[("split", "=", "val")]).to_pylist()
    levels = pq.read_table(dataset.out / "hierarchy.parquet").to_pydict()
    images = [
        {"key": row["key"], "class_index": row["class_index"], "wnid": levels["wnid"][row["class_index"]]}
        | {"guess": 0, "rank": int(row["class_index"] != 0), "probability": 0.25}
        | {"guess_probability": (at + 1) / len(samples), "answer": None, "answer_probability": None}
        for at, row in enumerate(samples)
    ]
    classes = [
        {"class_index": at, "wnid": wnid, "name": wnid, "level": levels["level"][at], "top1": float(at == 0)}
        | {"images": sum(row["class_index"] == at for row in images), "top5": 1.0}
        for at, wnid in enumerate(levels["wnid"])
    ]
    return images, classes


def write(dataset, folder, images, classes, digest=None):
    digest = digest or hashlib.sha256(dataset.manifest.to_json()).hexdigest()
    metadata = {DATASET: digest, MODEL: "resnet", OF_FILE: "predictions.parquet"}
    levels = 1 + max(row["level"] for row in classes) if classes else 1
    folder.mkdir(exist_ok=True)
    for name, rows, schema in (
        ("predictions", images, prediction_schema(levels, metadata)),
        ("per_class", classes, per_class_schema(levels, metadata)),
    ):
        pq.write_table(pa.Table.from_pylist(rows, schema), folder / f"{name}.parquet")
    return folder


def report(dataset, run, output, *more):
    summary = call("report", dataset.out, "--run", run, "--output", output, *more)
    page = (output / "report.html").read_text("utf-8")
    return summary, data_of(page), pictures_of(page)


@pytest.mark.parametrize("which", ["", "predictions.parquet", "val_predictions.parquet"])
def test_the_page_has_measures_pairs_and_pictures_with_guesses(dataset, tmp_path, which):
    images, classes = tables_of(dataset)
    folder = write(dataset, tmp_path / "evaluation", images, classes)
    if which.startswith("val_"):  # the folder of a run
        (folder / "predictions.parquet").rename(folder / which)
        which = ""
    summary, data, pictures = report(dataset, folder / which, tmp_path / "report")
    assert data["overlay"]["title"] == "evaluation"
    assert data["overlay"]["facts"] == [["network", "resnet"], ["val images", str(len(images))]]
    values = {measure["name"]: measure["values"] for measure in data["measures"]}
    assert values["top-1 accuracy"] == [row["top1"] for row in classes]
    wrong = {(row["class_index"], 0, classes[row["class_index"]]["images"]) for row in images if row["class_index"]}
    assert {tuple(pair) for pair in data["overlay"]["pairs"]} == wrong
    sure = {row["key"]: row["guess_probability"] for row in images}
    for index, judged in pictures["judged"].items():
        keys = [row["key"] for row in images if row["class_index"] == int(index)]
        assert [key for key, *_ in judged] == sorted(keys, key=lambda key: -sure[key])[: len(judged)]
        assert {guess for *_, guess, _ in judged} == {0}
        assert [chance for *_, chance in judged] == [round(np.float32(sure[key]).item(), 4) for key, *_ in judged]
    assert summary["judged_thumbnails"] == sum(map(len, pictures["judged"].values())) > 0


def test_all_pictures_stay_within_the_budget(dataset, tmp_path):
    folder = write(dataset, tmp_path / "evaluation", *tables_of(dataset))
    _, _, pictures = report(dataset, folder, tmp_path / "report", "--thumbnails", "8KiB")
    groups = (pictures["classes"], pictures["judged"])
    sizes = [sum(len(row[2]) * 3 / 4 for few in group.values() for row in few) for group in groups]
    assert all(0 < size <= 4 << 10 for size in sizes)


def first(name, value):
    def change(images, classes):
        (images if name in images[0] else classes)[0][name] = value

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (first("guess", 99), "predictions.parquet has a guess outside 0 to "),
        (first("class_index", -1), "predictions.parquet has a class_index outside 0 to "),
        (first("guess_probability", float("nan")), "predictions.parquet has a guess_probability outside 0 to 1"),
        (first("probability", 1.5), "predictions.parquet has a probability outside 0 to 1"),
        (first("key", "n00000000_1"), "predictions.parquet has the key n00000000_1, which is no val image of class "),
        (first("top1", -0.1), "per_class.parquet has a top1 outside 0 to 1"),
        (first("confused_with", 99), "per_class.parquet has a confused_with outside 0 to "),
        (first("images", 1 << 40), "per_class.parquet has a count of images outside 0 to "),
        (lambda images, _: images.append(images[0]), "rows, where the dataset has "),
        (lambda images, _: images.pop(), "per_class.parquet counts other images than those of predictions.parquet"),
        (lambda _, classes: classes.pop(), "per_class.parquet does not list the classes 0 to "),
    ],
)
def test_tables_with_impossible_values_are_one_line(dataset, tmp_path, change, said):
    images, classes = tables_of(dataset)
    classes = [dict.fromkeys(("confused_with", "probability")) | row for row in classes]
    change(images, classes)
    folder = write(dataset, tmp_path / "evaluation", images, classes)
    with pytest.raises(RefusedError) as refused:
        report(dataset, folder, tmp_path / "report")
    assert str(folder) in str(refused.value)
    assert said in str(refused.value)
    assert not (tmp_path / "report").exists()


def test_predictions_of_another_dataset_are_refused(dataset, tmp_path):
    folder = write(dataset, tmp_path / "evaluation", *tables_of(dataset), digest="0123456789abcdef")
    with pytest.raises(
        RefusedError, match=r"predictions.parquet is of the dataset with the digest 0123456789ab, not of"
    ):
        report(dataset, folder, tmp_path / "report")


def test_a_run_needs_predictions_and_a_dataset(dataset, tmp_path):
    with pytest.raises(RefusedError, match=r"has no predictions.parquet: give the folder of `in21k-train evaluate"):
        report(dataset, tmp_path, tmp_path / "report")
    with pytest.raises(RefusedError, match=r"fall11-p is no prepared dataset, which --run needs; leave it out"):
        call("report", "fall11-p", "--run", tmp_path, "--output", tmp_path / "report")

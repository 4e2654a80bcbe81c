"""A model fine-tuned on class folders: one command says which classes fail, and shows their images."""

import json
import shlex

import pyarrow.parquet as pq
import pytest
from downstream import MODEL, one_epoch, write_images, write_weights
from explorer_pages import data_of, pictures_of
from small_dataset import write_dataset
from train_runs import answer

from in21k.train.evaluation import predictions

HOSTILE = "<script>alert(1)</script>".replace("/", "∕")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A folder of three classes, one of them with a hostile name."""
    folder = tmp_path_factory.mktemp("own") / "photos"
    names = ("cat", "dog", HOSTILE)
    labels = {f"{names[at % 3]}/{number}.jpg": at % 3 for number, at in enumerate(range(48))}
    write_images(folder / "train", labels)
    write_images(folder / "val", {f"{names[at % 3]}/v{at}.jpg": at % 3 for at in range(9)})
    return folder


def evaluated(capsys, data, run, output, *more):
    how = ["--checkpoint", run, "--device", "cpu", "--workers", 0, "--output", output, *more]
    return answer(capsys, "evaluate", data, *how)


def test_evaluate_prints_the_failing_classes_and_writes_a_page_with_their_images(capsys, photos, tmp_path):
    one_epoch(capsys, photos, tmp_path / "run")
    (photos / "val" / "cat" / "broken.jpg").write_bytes(b"no image")
    output = tmp_path / "evaluation"
    status, out, _ = evaluated(capsys, photos, tmp_path / "run", output, "--layout", "imagefolder", "--max-skipped", 1)
    classes = sorted(
        pq.read_table(output / "per_class.parquet").to_pylist(), key=lambda row: (row["top1"], row["class_index"])
    )
    head, *table, last = out.partition("\n\n")[2].splitlines()
    assert "wnid" not in head.split()  # which would repeat the names
    assert status == 0
    assert last == f"next: open {output / 'explorer.html'} in a browser"
    assert [line.split()[0] for line in table] == [row["name"] for row in classes]
    page = (output / "explorer.html").read_text("utf-8")
    rows = {row["key"]: row for row in pq.read_table(output / "predictions.parquet").to_pylist()}
    found = {
        key: (int(index), guess, chance)
        for index, few in pictures_of(page)["judged"].items()
        for key, _, _, guess, chance in few
    }
    assert len(rows) == 9
    assert found == {
        key: (row["class_index"], row["guess"], round(row["guess_probability"], 4)) for key, row in rows.items()
    }
    data = data_of(page)
    assert data["overlay"]["title"] == "evaluation"
    names = [measure["name"] for measure in data["measures"]]  # nothing of levels, which these classes have not
    assert names == ["top-1 accuracy", "top-5 accuracy", "probability of the class", "most confused share"]
    assert HOSTILE not in page
    assert str(photos.parent) not in page


def test_images_of_any_number_of_classes_have_precision_by_class(capsys, monkeypatch, tmp_path):
    labels = {f"{number}.jpg": number % 3 for number in range(60)}
    write_images(tmp_path / "images", labels)
    lines = [f"{name},{label}" + (",7" if label == 2 else "") for name, label in labels.items()]
    for split, part in (("train", lines[:45]), ("val", lines[45:])):
        (tmp_path / f"{split}.csv").write_text("\n".join(part) + "\n")
    data = [tmp_path / "train.csv", "--images", tmp_path / "images", "--val", tmp_path / "val.csv"]
    one_epoch(capsys, data[0], tmp_path / "run", *data[1:])
    how = [*data, "--layout", "csv", "--checkpoint", tmp_path / "run", "--device", "cpu", "--workers", 0, "--json"]
    status, out, err = answer(capsys, "evaluate", *how, "--output", tmp_path / "out")
    assert status == 0, err
    assert not (tmp_path / "out" / "explorer.html").exists()
    summary, rows = json.loads(out), pq.read_table(tmp_path / "out" / "predictions.parquet").to_pylist()
    assert [len(row["scores"]) for row in rows] == [4] * 15
    assert sum(len(row["labels"]) for row in rows) == 20
    classes = pq.read_table(tmp_path / "out" / "per_class.parquet").to_pylist()
    assert sum(row["average_precision"] for row in classes) / 4 == pytest.approx(summary["val_map"])
    worst = [row["average_precision"] for row in summary["worst_classes"]]
    assert worst == sorted(row["average_precision"] for row in classes)
    monkeypatch.setattr(predictions, "MOST_SCORES", 10)
    status, _, err = answer(capsys, "evaluate", *how, "--output", tmp_path / "none")
    assert status == 0
    assert "no predictions.parquet: 15 images × 4 classes are more scores than 10" in err
    assert sorted(path.name for path in (tmp_path / "none").iterdir()) == ["evaluation.json"]


def test_what_a_transfer_says_comes_next_writes_the_page(capsys, photos, tmp_path):
    how = [
        "--checkpoint",
        write_weights(tmp_path / "w.safetensors"),
        "--model",
        MODEL,
        "--image-size",
        32,
        "--epochs",
        1,
    ]
    how += ["--batch-size", 8, "--device", "cpu", "--workers", 0, "--output", tmp_path / "run", "--max-skipped", 1]
    status, out, err = answer(capsys, "transfer", photos, *how)
    assert status == 0, err
    _, *words = shlex.split(out.partition(" or: ")[2])
    assert answer(capsys, *words, "--device", "cpu", "--workers", 0, "--max-skipped", 1)[0] == 0
    assert (tmp_path / "run-evaluation" / "explorer.html").exists()


def test_a_prepared_dataset_has_its_page_from_prep(capsys, tmp_path):
    data = write_dataset(tmp_path / "data")
    one_epoch(capsys, data, tmp_path / "run")
    assert evaluated(capsys, data, tmp_path / "run", tmp_path / "out", "--layout", "shards")[0] == 0
    assert not (tmp_path / "out" / "explorer.html").exists()

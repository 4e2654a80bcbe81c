"""The table of what a network says of each validation image: its means are the run's scores."""

from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from downstream import MODEL, average_precision, one_epoch, write_images, write_weights
from small_dataset import write_dataset
from train_runs import answer, run_train, summary_of

NAME = "val_predictions.parquet"
SAVE = ("--set", "run.save_predictions=true", "--set", "data.max_skipped=1")


def spoil(split, number, sample):
    return replace(sample, image=b"no image") if (split, number) in {("val", 2), ("val", 14)} else sample


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("data"), replace=spoil)


def require_scores(run, data):
    """Each row is an image that decodes, in order, and the means are the summary's scores."""
    rows, summary = pq.read_table(run / NAME).to_pydict(), summary_of(run)
    samples = pq.read_table(data / "samples.parquet", filters=[("split", "=", "val")]).to_pydict()
    good = [at for at in range(17) if at not in (2, 14)]
    assert rows["key"] == [samples["key"][at] for at in good]
    assert rows["class_index"] == [samples["class_index"][at] for at in good]
    ranks = np.array(rows["rank"])
    assert summary["val_top1"] == pytest.approx(np.mean(ranks < 1))
    assert summary["val_top5"] == pytest.approx(np.mean(ranks < 5))
    assert ((np.array(rows["guess"]) == rows["class_index"]) == (ranks < 1)).all()


@pytest.mark.parametrize("how", [(), ("--probe",), ("--knn", 5)], ids=["fine-tuned", "probed", "voted"])
def test_the_means_of_the_rows_are_the_scores(capsys, data, tmp_path, how):
    weights = write_weights(tmp_path / "weights.safetensors")
    given = ["--checkpoint", weights, "--model", MODEL, "--image-size", 32, "--epochs", 1, "--batch-size", 8]
    given += ["--device", "cpu", "--workers", 0, "--output", tmp_path / "run", *SAVE, *how]
    assert answer(capsys, "transfer", data, *given)[0] == 0
    require_scores(tmp_path / "run", data)


@pytest.mark.guard
def test_several_ranks_write_the_rows_of_all(data, tmp_path):
    how = ["--model", MODEL, "--image-size", 32, "--epochs", 1, "--batch-size", 8, "--device", "cpu", "--workers", 0]
    how += [*SAVE, "--scratch", "--set", "data.eval_batch_size=4", "--recipe", "single-label"]
    done = run_train("pretrain", data, "--output", tmp_path / "run", *how, processes=2)
    assert done.returncode == 0, done.stderr
    require_scores(tmp_path / "run", data)


@pytest.mark.parametrize("how", [(), ("--probe",), ("--knn", 5)], ids=["fine-tuned", "probed", "voted"])
def test_rows_of_several_labels_have_the_scores_of_every_class(capsys, tmp_path, how):
    labels = {f"{number}.jpg": number % 4 for number in range(80)}
    write_images(tmp_path / "images", labels)
    lines = [f"{name},{label}" + (",9" if label == 2 else "") for name, label in labels.items()]
    for split, part in (("train", lines[:60]), ("val", lines[60:])):
        (tmp_path / f"{split}.csv").write_text("\n".join(part) + "\n")
    data = [tmp_path / "train.csv", "--images", tmp_path / "images", "--val", tmp_path / "val.csv"]
    one_epoch(capsys, data[0], tmp_path / "run", *data[1:], *SAVE, *how)
    rows = pq.read_table(tmp_path / "run" / NAME)
    scores = np.array(rows["scores"].to_pylist())
    own = [[at in labels for labels in rows["labels"].to_pylist()] for at in range(scores.shape[1])]
    found = [average_precision(scores[:, at].tolist(), hits) for at, hits in enumerate(own) if any(hits)]
    assert summary_of(tmp_path / "run")["val_map"] == pytest.approx(np.mean(found))
    assert sorted(rows["key"].to_pylist()) == sorted(line.partition(",")[0] for line in lines[60:])


def test_a_softmax_per_level_has_no_predictions_to_save(capsys, data, tmp_path):
    how = ["--scratch", "--model", MODEL, "--output", tmp_path / "run", "--device", "cpu", "--workers", 0, *SAVE]
    status, _, err = answer(capsys, "pretrain", data, *how)
    assert status == 1
    assert "run.save_predictions=true: with loss.scheme=semantic-softmax" in err
    assert not (tmp_path / "run").exists()


def test_without_being_asked_for_nothing_is_written(capsys, tmp_path):
    one_epoch(capsys, write_dataset(tmp_path / "data"), tmp_path / "run")
    assert not (tmp_path / "run" / NAME).exists()

"""The table of what a network says of each validation image: its means are the run's scores."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from downstream import MODEL, average_precision, one_epoch, write_images, write_weights
from small_dataset import write_dataset
from spoken import without_progress
from train_runs import answer, run_train, summary_of

from in21k.train.config.overrides import with_values
from in21k.train.config.settings import Config
from in21k.train.trainer.loop import pretrain

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


@pytest.mark.slow
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
    if "--knn" in how:  # votes are no probabilities
        return
    classes = pq.read_table(tmp_path / "run" / "per_class.parquet").to_pylist()
    assert np.mean([row["average_precision"] for row in classes if row["images"]]) == pytest.approx(np.mean(found))
    for at, row in enumerate(classes):
        assert row["images"] == sum(own[at])
        seen = [score >= 0 for score, is_own in zip(scores[:, at], own[at], strict=True) if is_own]
        assert row["recall"] == (pytest.approx(np.mean(seen)) if seen else None)
        right = [is_own for score, is_own in zip(scores[:, at], own[at], strict=True) if score >= 0]
        assert row["precision"] == (pytest.approx(np.mean(right)) if right else None)
    assert sorted(rows["key"].to_pylist()) == sorted(line.partition(",")[0] for line in lines[60:])


@pytest.fixture(scope="module")
def semantic_run(data, tmp_path_factory):
    """A run of semantic softmax that saves its predictions."""
    run = tmp_path_factory.mktemp("semantic") / "run"
    values = {"model.name": MODEL, "optim.epochs": 1, "data.batch_size": 8, "run.device": "cpu", "run.workers": 0}
    values |= {"run.save_predictions": True, "data.max_skipped": 1}
    pretrain(str(data), run, with_values(Config(), values), progress=False)
    return run


def test_a_softmax_per_level_has_a_guess_per_level(semantic_run, data):
    rows, summary = pq.read_table(semantic_run / NAME).to_pandas(), summary_of(semantic_run)
    own = pq.read_table(data / "hierarchy.parquet").to_pandas().loc[rows.class_index]
    for level, score in summary["val_semantic_top1_by_level"].items():
        there = (own.level >= int(level)).to_numpy()
        targets = own.ancestors.map(list).to_numpy() + own.index.map(lambda index: [index]).to_numpy()
        right = [rows[f"guess_{level}"][at] == targets[at][int(level)] for at in np.flatnonzero(there)]
        assert score == pytest.approx(np.mean(right))
        assert rows[f"guess_{level}"].isna().tolist() == (~there).tolist()
    classes = pq.read_table(semantic_run / "per_class.parquet").to_pandas()
    beside = pd.read_csv(semantic_run / "val_classes.csv")
    assert np.allclose(classes.top1, beside.top1, equal_nan=True)


@pytest.mark.guard
def test_evaluate_writes_the_same_table_on_any_number_of_ranks(capsys, semantic_run, data, tmp_path):
    how = ["--checkpoint", semantic_run, "--device", "cpu", "--workers", 0, "--batch-size", 4, "--max-skipped", 1]
    assert answer(capsys, "evaluate", data, *how, "--predictions", tmp_path / "one" / "p.parquet")[0] == 0
    done = run_train("evaluate", data, *how, "--predictions", tmp_path / "two" / "p.parquet", processes=2)
    assert done.returncode == 0, done.stderr
    for name in ("p.parquet", "per_class.parquet"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    found, of_run = (pq.read_table(path) for path in (tmp_path / "one" / "p.parquet", semantic_run / NAME))
    assert found.select(["key", "class_index", "guess"]) == of_run.select(["key", "class_index", "guess"])


def test_evaluate_names_the_worst_classes(capsys, semantic_run, data):
    how = ["--checkpoint", semantic_run, "--device", "cpu", "--workers", 0, "--max-skipped", 1, "--worst", 3]
    status, out, _ = answer(capsys, "evaluate", data, *how, "--json")
    worst = json.loads(out)["worst_classes"]
    classes = pq.read_table(semantic_run / "per_class.parquet").to_pandas().dropna(subset="top1")
    expected = classes.sort_values(["top1", "images", "class_index"], ascending=[True, False, True])[:3]
    assert (status, [each["wnid"] for each in worst]) == (0, expected.wnid.tolist())
    status, out, _ = answer(capsys, "evaluate", data, *how)
    head, *lines = out.partition("\n\n")[2].splitlines()
    assert (status, head.split()) == (0, ["name", "wnid", "images", "top-1", "taken", "for", "share"])
    assert [wnid in line for wnid, line in zip(expected.wnid, lines[:3], strict=True)] == [True] * 3


@pytest.mark.parametrize("more", [(), ("--val-share", 0.5)], ids=["their val", "a share of train"])
def test_evaluate_names_the_layout_of_data_that_in21k_prep_did_not_write(capsys, semantic_run, tmp_path, more):
    names = [f"{split}/{name}/{number}.jpg" for split in ("train", "val") for name in "ab" for number in range(2)]
    photos = write_images(tmp_path / "photos", {name: name.count("a/") for name in names})
    status, _, err = answer(capsys, "evaluate", photos, "--checkpoint", semantic_run, "--device", "cpu", *more)
    assert (status, without_progress(err).count("\n")) == (1, 1)
    assert "no manifest.json there; prepare it with in21k-prep, or give --layout imagefolder, which it has" in err


def test_a_table_that_is_not_ours_is_not_replaced(capsys, semantic_run, data, tmp_path):
    how = ["--checkpoint", semantic_run, "--device", "cpu", "--workers", 0, "--max-skipped", 1, "--predictions"]
    (tmp_path / "notes").mkdir()
    for name, content in (("a.parquet", b"mine"), ("per_class.parquet", b"PAR1")):
        path = tmp_path / "notes" / name
        path.write_bytes(content)
        status, _, err = answer(capsys, "evaluate", data, *how, tmp_path / "notes" / "a.parquet")
        assert (status, without_progress(err).count("\n")) == (1, 1)
        assert str(path) in err
        assert path.read_bytes() == content
        path.unlink()
    for name, expected in (("a.parquet", 0), ("b.parquet", 1)):
        status, _, err = answer(capsys, "evaluate", data, *how, tmp_path / name)
        assert status == expected, err
    assert "per_class.parquet is the table of classes of a.parquet" in err
    status, _, err = answer(capsys, "evaluate", data, *how, tmp_path / "a.csv")
    assert (status, "a.csv: give a name that ends in .parquet" in err) == (1, True)
    assert not (tmp_path / "a.csv").exists()


def test_without_being_asked_for_nothing_is_written(capsys, tmp_path):
    one_epoch(capsys, write_dataset(tmp_path / "data"), tmp_path / "run")
    assert not (tmp_path / "run" / NAME).exists()

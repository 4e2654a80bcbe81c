"""`transfer --knn` from the command line: its scores are those of its features by brute force and by scikit-learn."""

import csv

import numpy as np
import pytest
from commands import error_lines
from downstream import MODEL, SIDE, class_scores, top_k, write_images, write_weights
from safetensors.torch import load_file
from sklearn.metrics import average_precision_score
from sklearn.neighbors import KNeighborsClassifier
from slow_neighbors import slow_shares, whole_similarities
from small_coco import write_coco
from small_open_images import LABELS, sets_of, write_open_images
from train_runs import answer, run_train, summary_of

from in21k.train.data.open_datasets.open_images import open_open_images


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return write_weights(tmp_path_factory.mktemp("weights") / "weights.safetensors")


@pytest.fixture
def animals(tmp_path):
    """Images of six classes, some of which look like the next; those of another class tie with three of the second."""
    looks = {at: (at + (at % 5 == 0)) % 6 for at in range(48)}
    names = {f"{split}/class{at % 6}/{at}.jpg": looks[at] for split in ("train", "val") for at in looks}
    names |= {f"train/class5/copy{at}.jpg": 1 for at in range(3)}
    folder = write_images(tmp_path / "data", names)
    for at in range(3):
        (folder / f"train/class5/copy{at}.jpg").write_bytes((folder / f"train/class1/{1 + 6 * at}.jpg").read_bytes())
    return folder


def given(data, run, weights, *how):
    fixed = ["--checkpoint", weights, "--model", MODEL, "--image-size", SIDE, "--device", "cpu", "--workers", 0]
    return ["transfer", data, *fixed, "--output", run, *how]


def voted(capsys, data, run, weights, *how):
    """Run the command; return its summary, and its features and label ids by split."""
    status, _, err = answer(capsys, *given(data, run, weights, "--keep-features", *how))
    assert status == 0, err
    features = load_file(run / "features.safetensors")
    return summary_of(run), [
        features[f"{split}/{name}"].numpy() for split in ("train", "val") for name in ("features", "label_ids")
    ]


def test_each_k_has_the_top1_and_top5_of_brute_force_and_of_scikit_learn(capsys, tmp_path, weights, animals):
    summary, (train, classes, val, own) = voted(capsys, animals, tmp_path / "run", weights, "--knn", "9,1,51")
    scores = whole_similarities(val, train)
    assert (summary["k"], summary["temperature"], list(summary["knn"])) == (9, 0.07, ["9", "1", "51"])
    for k in (9, 1, 51):
        shares = np.array([slow_shares(row, k, classes[:, None].tolist(), 6, 0.07) for row in scores])
        found = summary["knn"][str(k)]
        assert found == {"val_top1": top_k(shares, own, 1), "val_top5": top_k(shares, own, 5)}
        model = KNeighborsClassifier(k, metric="cosine", weights=lambda far: np.exp((1 - far) / 0.07))
        if k != 1:  # where copies tie for the last place, scikit-learn takes any
            assert found["val_top1"] == model.fit(train, classes).score(val, own)
    assert summary["val_top1"] == summary["knn"]["9"]["val_top1"]
    assert 0.5 < summary["val_top1"] < 1
    shares = np.array([slow_shares(row, 9, classes[:, None].tolist(), 6, 0.07) for row in scores])
    assert class_scores(tmp_path / "run") == {
        f"class{each}": top_k(shares[own == each], own[own == each], 1) for each in range(6)
    }


def test_images_with_several_classes_are_scored_by_scikit_learns_average_precision(capsys, tmp_path, weights):
    data = write_coco(tmp_path / "coco", train=40, val=16)
    how = ("--knn", "7,3", "--temperature", 0.2)
    summary, (train, rows, val, own) = voted(capsys, data, tmp_path / "run", weights, *how)
    sets = [[at for at in (0, 1) if row & 1 << at] for row in rows.tolist()]  # person is 0, cow is 1
    for k in (7, 3):
        shares = np.array([slow_shares(row, k, sets, 3, 0.2) for row in whole_similarities(val, train)], np.float32)
        truth = np.array([[bool((row - 40) >> at & 1) for at in (0, 1, 2)] for row in own.tolist()])
        truth[:, 2] = False
        found = summary["knn"][str(k)]
        by_class = [average_precision_score(truth[:, at], shares[:, at]) for at in (0, 1)]
        assert found["val_map"] == pytest.approx(np.mean(by_class), rel=1e-9)
        assert found["val_map_micro"] == pytest.approx(average_precision_score(truth.ravel(), shares.ravel()), rel=1e-9)
    assert summary["val_map"] == summary["knn"]["7"]["val_map"] > 0.7
    assert len(class_scores(tmp_path / "run")) == 2


def test_of_open_images_only_neighbors_that_know_a_class_vote_on_it(capsys, tmp_path, weights):
    root = write_open_images(tmp_path / "oi")
    summary, (train, rows, val, own) = voted(capsys, root, tmp_path / "run", weights, "--knn", 6)
    data = open_open_images(root)
    sets = [[at for at in row if at != -1] for row in data.label_sets.tolist()]
    neighbors = [sets[row] for row in rows.tolist()]
    classes = len(data.classes)
    shares = np.array(
        [slow_shares(row, 6, neighbors, classes, 0.07) for row in whole_similarities(val, train)], np.float32
    )
    precisions = []
    for label in range(classes):
        known = [at for at, row in enumerate(own.tolist()) if label in sets[row] or -2 - label in sets[row]]
        truth = [label in sets[own[at]] for at in known]
        if any(truth):
            precisions.append(average_precision_score(truth, shares[known, label]))
    assert len(LABELS) >= classes > 2
    assert len(sets_of(data, "val")) == 24
    assert summary["val_map"] == pytest.approx(np.mean(precisions), rel=1e-9)


def test_damaged_images_are_counted_and_vote_for_nothing(capsys, tmp_path, weights, animals):
    (animals / "train/class0/0.jpg").write_bytes(b"no image")
    (animals / "val/class1/1.jpg").write_bytes(b"no image")
    summary, (train, *_) = voted(capsys, animals, tmp_path / "run", weights, "--knn", 5, "--max-skipped", 0.1)
    assert (summary["train_images"], summary["skipped_images"], len(train)) == (50, 1, 50)
    assert (summary["val_images"], summary["val_skipped"]) == (47, 1)


def test_without_validation_images_there_are_no_scores(capsys, tmp_path, weights):
    data = write_images(tmp_path / "data", {f"train/class{at % 2}/{at}.jpg": at % 2 for at in range(8)})
    (data / "val").mkdir()
    summary, _ = voted(capsys, data, tmp_path / "run", weights, "--knn", 5)
    assert (summary["val_images"], summary["knn"]) == (0, {})
    assert not (tmp_path / "run" / "val_classes.csv").exists()


@pytest.mark.parametrize(
    ("how", "status", "message"),
    [
        (["--knn", "0"], 2, "Invalid value for '--knn': '0' has a number outside of 1 to"),
        (["--knn", "5,x"], 2, "'5,x' is no list of whole numbers such as 10,20"),
        (["--knn", "5,5"], 2, "'5,5' has a number twice"),
        (["--knn", "5", "--temperature", "nan"], 2, "nan is no finite number above 0"),
        (["--knn", "5", "--temperature", "0"], 2, "is no finite number above 0"),
        (["--temperature", "1"], 2, "--temperature is that of --knn; give both, or leave it out"),
        (["--knn", "5", "--probe"], 2, "give either --probe or --knn"),
        (["--keep-features"], 2, "--keep-features is that of --probe and --knn; give one of them, or leave it out"),
        (["--knn", "5", "--resume"], 2, "--knn fits nothing that could be resumed"),
        (["--knn", "52"], 1, "data: 51 training images are fewer than 52 neighbors; give a smaller --knn"),
        (["--knn", "5", "--teacher", "resnet50"], 1, "k-NN learns from no teacher"),
    ],
)
def test_what_does_not_go_together_is_one_line_and_leaves_nothing(
    capsys, tmp_path, weights, animals, how, status, message
):
    found, out, err = answer(capsys, *given(animals, tmp_path / "run", weights, *how))
    assert (found, out, len(error_lines(err))) == (status, "", 1)
    assert message in err
    assert not (tmp_path / "run").exists()


def test_a_run_is_never_overwritten_nor_resumed_as_another(capsys, tmp_path, weights, animals):
    voted(capsys, animals, tmp_path / "run", weights, "--knn", 3)
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    for how, message in (
        (["--knn", "3"], "already holds a run; give another --output"),
        (["--resume"], "holds summary.json and no checkpoint, so it cannot be resumed; give another --output"),
    ):
        status, _, err = answer(capsys, *given(animals, tmp_path / "run", weights, *how))
        assert (status, err.count("\n")) == (1, 1)
        assert message in err
    assert {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()} == before
    with (tmp_path / "run" / "val_classes.csv").open() as file:
        assert next(csv.reader(file))[-1] == "top1"


@pytest.mark.slow
def test_several_ranks_are_refused(tmp_path, weights, animals):
    ended = run_train(*given(animals, tmp_path / "run", weights, "--knn", 3), processes=2)
    assert ended.returncode != 0
    assert "k-NN runs on one rank; start it without torchrun" in ended.stderr
    assert not (tmp_path / "run" / "summary.json").exists()

"""The bootstrap against a slow version of itself: each drawn set of images is written out and scored as a whole."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from downstream import average_precision
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from in21k.train.benchmark.bootstrap import drawn_means, drawn_precisions, interval
from in21k.train.benchmark.outcomes import ImageScores, LabelScores, predicted
from in21k.train.errors import TrainError


def written_out(weights, known, labels, scores):
    """Mean average precision of the images, each as often as its weight says, by scikit-learn."""
    at = np.repeat(np.arange(len(weights)), weights)
    found = []
    for column in range(labels.shape[1]):
        rows = at[known[at, column]]
        if labels[rows, column].any():
            found.append(average_precision_score(labels[rows, column], scores[rows, column]))
    return np.mean(found) if found else 0.0


@given(st.integers(1, 12), st.integers(1, 4), st.booleans(), st.integers(0, 2**32 - 1))
def test_weighted_precision_is_that_of_images_written_out(images, classes, knows_all, seed):
    random = np.random.default_rng(seed)
    scores = random.integers(0, 4, (images, classes)).astype(np.float32)  # many are equal
    labels = random.random((images, classes)) < 0.4
    known = labels | (random.random((images, classes)) < (2 if knows_all else 0.5))
    weights = random.multinomial(images, np.full(images, 1 / images), size=3)
    found = LabelScores(range(images), scores, labels, None if knows_all else known).precisions(weights.astype(float))
    assert found == pytest.approx([written_out(row, known, labels, scores) for row in weights])


def test_a_run_of_all_images_once_has_its_own_score():
    random = np.random.default_rng(0)
    scores, labels = random.random((30, 3)).astype(np.float32), random.random((30, 3)) < 0.3
    own = [average_precision(scores[:, at].tolist(), labels[:, at].tolist()) for at in range(3)]
    assert LabelScores(range(30), scores, labels).precisions(np.ones((1, 30))) == pytest.approx([np.mean(own)])


@pytest.mark.parametrize("different", [2, 200], ids=["few values, counted", "many values, drawn"])
def test_drawn_means_spread_as_those_of_a_loop(different):
    random = np.random.default_rng(2)
    values = random.integers(0, different, 150) / different
    slow = [np.mean([values[random.integers(150)] for _ in range(150)]) for _ in range(3000)]
    fast = drawn_means(values, np.random.default_rng(3))
    assert fast.mean() == pytest.approx(np.mean(slow), abs=0.004)
    assert fast.std() == pytest.approx(np.std(slow), rel=0.06)
    assert np.quantile(fast, [0.025, 0.975]) == pytest.approx(np.quantile(slow, [0.025, 0.975]), abs=0.012)


def test_drawn_precisions_are_those_of_the_images_drawn():
    random = np.random.default_rng(4)
    labels = random.random((25, 3)) < 0.3
    runs = [LabelScores(range(25), random.random((25, 3)).astype(np.float32), labels) for _ in range(2)]
    found, again = drawn_precisions(runs, np.random.default_rng(5), draws=4), np.random.default_rng(5)
    for score in found:
        weights = np.bincount(again.integers(25, size=25), minlength=25)
        slow = [written_out(weights, np.ones_like(labels), labels, run.scores) for run in runs]
        assert score == pytest.approx(np.mean(slow))


def test_memory_is_bounded_however_many_images_there_are(monkeypatch):
    monkeypatch.setattr("in21k.train.benchmark.bootstrap._AT_ONCE", 1000)
    values = np.random.default_rng(6).random(300)
    assert len(drawn_means(values, np.random.default_rng(7), draws=11)) == 11


def test_an_interval_is_about_the_images_that_all_runs_share():
    right, wrong = ImageScores(["a", "b"], np.array([1.0, 0])), ImageScores(["a", "b"], np.array([0.0, 1]))
    found = interval([right, wrong])  # whichever images are drawn, one of the two runs is right
    assert (found.low, found.high, found.images) == (0.5, 0.5, 2)
    with pytest.raises(ValueError, match="the same test images"):
        interval([right, ImageScores(["a", "c"], np.array([1.0, 0]))])


def test_predictions_that_are_damaged_are_named(tmp_path):
    path = tmp_path / "val_predictions.parquet"
    assert predicted(tmp_path, "val_top1") is None
    path.write_bytes(b"PAR1")
    with pytest.raises(TrainError, match=r"val_predictions\.parquet is damaged .*; delete the folder to run it anew"):
        predicted(tmp_path, "val_top1")
    pq.write_table(pa.table({"key": ["a"], "rank": [1]}), path)
    assert predicted(tmp_path, "val_top5").values.tolist() == [1.0]
    assert predicted(tmp_path, "val_map_micro") is None

"""What `evaluate --output` writes: curve and errors by subtree against slow versions; and which files it replaces."""

import json
import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from downstream import one_epoch
from hierarchies import batch_of, hierarchies
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from slow_answers import slow_path, slow_probabilities, subtree
from small_dataset import write_dataset
from train_runs import answer, run_train

from in21k.train.config.overrides import with_values
from in21k.train.config.settings import Config
from in21k.train.device.ranks import Ranks
from in21k.train.evaluation.report.answers import AnswerCollector
from in21k.train.evaluation.report.curve import answer_curve
from in21k.train.evaluation.report.folder import FILES
from in21k.train.evaluation.report.subtree_errors import subtree_errors
from in21k.train.model.level_order import level_order
from in21k.train.trainer.loop import pretrain

SCHEME = "semantic-softmax"
TINY = {"model.name": "test_resnet", "run.workers": 0, "run.device": "cpu", "data.batch_size": 12}
SIZES = (hierarchies(), st.integers(1, 12), st.integers(0, 2**31))


def collected(hierarchy, size, seed):
    """Answers of random logits, and the same as a list of (true path, path, its probabilities)."""
    logits, labels, valid = batch_of(hierarchy, size, seed)
    valid[0] = True
    order = level_order(hierarchy)
    collector = AnswerCollector(SimpleNamespace(hierarchy=hierarchy), order, SCHEME, Ranks(torch.device("cpu")))
    collector.update(order.to_rows(logits, dim=1), labels, valid)
    slow = []
    for row, label, is_valid in zip(logits.tolist(), labels.tolist(), valid.tolist(), strict=True):
        if is_valid:
            path, shares = slow_path(hierarchy, row, SCHEME), slow_probabilities(hierarchy, row, SCHEME)
            slow.append((list(hierarchy.path(label)), path, [shares[index] for index in path]))
    return collector.gather(), slow


def stopped_at(path, shares, confidence):
    return [index for index, share in zip(path, shares, strict=True) if share >= confidence]


@settings(max_examples=30)
@given(*SIZES)
def test_the_curve_equals_the_slow_version(hierarchy, size, seed):
    answers, slow = collected(hierarchy, size, seed)
    for point in answer_curve(answers)[::10]:
        found = [(own, stopped_at(path, shares, point.confidence)) for own, path, shares in slow]
        right = [answered == own[: len(answered)] for own, answered in found]
        assert point.accuracy == pytest.approx(sum(right) / len(slow))
        assert point.depth == pytest.approx(sum(len(answered) for _, answered in found) / len(slow))
        sizes = [len(subtree(hierarchy, answered[-1])) if answered else len(hierarchy) for _, answered in found]
        says = [1 - math.log(classes) / math.log(len(hierarchy)) for classes in sizes]
        assert point.specificity == pytest.approx(sum(says) / len(slow))
        both = sum(len(set(own) & set(answered)) for own, answered in found)
        all_ = sum(len(own) + len(answered) for own, answered in found)
        assert point.f1 == pytest.approx(2 * both / all_)
        stops = [len(answered) for _, answered in found]
        assert point.stopped == tuple(stops.count(depth) / len(slow) for depth in range(hierarchy.num_levels + 1))


@settings(max_examples=30)
@given(*SIZES, st.sampled_from([0.0, 0.5]))
def test_the_errors_of_subtrees_equal_the_slow_version(hierarchy, size, seed, confidence):
    answers, slow = collected(hierarchy, size, seed)
    rows = {each.class_index: each for each in subtree_errors(answers, confidence)}
    inner = {index for index in range(len(hierarchy)) if hierarchy.children[index]}
    assert set(rows) == inner & {index for own, *_ in slow for index in own}
    for index, row in rows.items():
        found = [(own, stopped_at(path, shares, confidence)) for own, path, shares in slow if index in own]
        within = [answered for _, answered in found if index in answered]
        above = [answered for own, answered in found if index not in answered and answered == own[: len(answered)]]
        outside = [answered for own, answered in found if answered not in within and answered != own[: len(answered)]]
        assert row.images == len(found)
        shares = [len(each) / len(found) for each in (within, above, outside)]
        assert [row.within, row.above, row.outside] == pytest.approx(shares)
        places = [answered[: row.level + 1][-1] for answered in outside]
        most = max((places.count(place) for place in places), default=0)
        expected = min((place for place in places if places.count(place) == most), default=None)
        assert (row.goes_to, row.goes_to_share) == (expected, most / len(found) if most else None)
        both = sum(len(set(own) & set(answered)) for own, answered in found)
        assert row.f1 == pytest.approx(2 * both / sum(len(own) + len(answered) for own, answered in found))


@pytest.fixture(scope="module")
def run(dataset_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report") / "run"
    pretrain(str(dataset_folder), folder, with_values(Config(), {**TINY, "optim.epochs": 2}), progress=False)
    return folder


def evaluate(capsys, dataset_folder, run, *options):
    return answer(capsys, "evaluate", dataset_folder, "--checkpoint", run, "--device", "cpu", "--workers", 0, *options)


@pytest.mark.slow
def test_the_folder_has_scores_tables_and_a_plot_the_same_on_two_ranks(capsys, dataset_folder, run, tmp_path):
    out = tmp_path / "a" / "out"
    status, printed, _ = evaluate(capsys, dataset_folder, run, "--json", "--output", out)
    assert status == 0
    assert sorted(path.name for path in out.iterdir()) == sorted([*FILES, "per_class.parquet", "predictions.parquet"])
    scores = json.loads((out / "evaluation.json").read_text())
    told = json.loads(printed)
    assert told.pop("command") == "evaluate"
    assert len(told.pop("worst_classes")) == 8  # all that have images
    assert told.pop("predictions") == str(out / "predictions.parquet")
    assert scores == {"format": "in21k evaluation 1", "confidence": 0.5, **told}
    curve = pd.read_csv(out / "curve.csv")
    assert curve.confidence.tolist() == [step / 100 for step in range(101)]
    assert (curve.specificity.diff().dropna() <= 0).all()
    assert np.allclose(curve.filter(like="stopped_").sum(axis=1), 1)
    half = curve[curve.confidence == 0.5].iloc[0]
    assert half.f1 == pytest.approx(scores["val_hierarchical_f1"])
    errors = pd.read_csv(out / "subtree_errors.csv")
    assert errors.name.iloc[0] == "animal"
    assert np.allclose(errors[["within", "above", "outside"]].sum(axis=1), 1)
    with Image.open(out / "curve.png") as plot:
        assert plot.width > 1000
    again = tmp_path / "two"
    options = ["--checkpoint", run, "--device", "cpu", "--workers", "0", "--batch-size", "4", "--output", again]
    done = run_train("evaluate", dataset_folder, *options, processes=2)
    assert done.returncode == 0, done.stderr
    for name in ("curve.csv", "subtree_errors.csv", "curve.png"):
        assert (again / name).read_bytes() == (out / name).read_bytes()


def test_only_the_files_of_an_evaluation_are_replaced(capsys, dataset_folder, run, tmp_path):
    out = tmp_path / "out"
    assert evaluate(capsys, dataset_folder, run, "--output", out)[0] == 0
    (out / "curve.csv").write_text("old")
    (out / "notes.txt").write_text("mine")
    assert evaluate(capsys, dataset_folder, run, "--output", out)[0] == 0
    assert (out / "curve.csv").read_text().startswith("confidence,")
    assert (out / "notes.txt").read_text() == "mine"
    for name in ("curve.csv", "evaluation.json"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / name).write_text('{"mine": 1}')
        status, _, err = evaluate(capsys, dataset_folder, run, "--output", folder)
        assert (status, err.count("\n")) == (1, 1)
        assert f"{folder} already holds a {name} that no evaluation wrote; give another --output" in err
        assert [path.read_text() for path in folder.iterdir()] == ['{"mine": 1}']
    status, _, err = evaluate(capsys, dataset_folder, run, "--output", run)
    assert (status, err.count("\n")) == (1, 1)
    assert f"{run} holds metrics.csv of a training run; give another --output" in err


def test_classes_without_a_hierarchy_have_scores_and_no_curve(capsys, tmp_path):
    flat = write_dataset(tmp_path / "flat", wnids=("n00015388", "n00021939"))
    one_epoch(capsys, flat, tmp_path / "run")
    assert evaluate(capsys, flat, tmp_path / "run", "--output", tmp_path / "out")[0] == 0
    names = ["evaluation.json", "per_class.parquet", "predictions.parquet"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names

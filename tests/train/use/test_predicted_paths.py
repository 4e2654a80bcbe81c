"""The path that predict answers with: as text, as JSON and in a picture, and where it stops."""

import json
from dataclasses import replace

import pytest
from commands import error_lines
from small_dataset import picture
from train_runs import answer

from in21k.train.use.answer_rows import prediction_rows
from in21k.train.use.guesses import Guess, LevelGuesses, PathGuess, Prediction
from in21k.train.use.trained_model import open_trained
from in21k.tree.glosses import definition
from in21k.tree.wordnet import load_wordnet

SCHEMES = ["semantic-softmax", "single-label", "multi-label"]


@pytest.fixture(scope="module", params=SCHEMES)
def run(request, short_run):
    return short_run(request.param)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    for number in range(6):
        picture(number, 5, 48).save(folder / f"{number}.png")
    return folder


def predictions(capsys, images, run, *options):
    status, out, err = answer(capsys, "predict", images, "--checkpoint", run, "--device", "cpu", "--json", *options)
    assert (status, err) == (0, "")
    return json.loads(out)


def test_each_class_stands_below_the_one_before_and_the_answer_is_confident(capsys, run, images):
    hierarchy = open_trained(run).classes.hierarchy
    for confidence in (0, 0.3, 0.5, 1):
        for found in predictions(capsys, images, run, "--confidence", confidence):
            places = [hierarchy.wnids.index(guess["wnid"]) for guess in found["path"]]
            assert tuple(places) == hierarchy.path(places[-1])
            shares = [guess["probability"] for guess in found["path"]]
            assert shares == sorted(shares, reverse=True)
            sure = [guess for guess in found["path"] if guess["probability"] >= confidence]
            assert found["answer"] == (sure[-1] if sure else None)
            assert found["stopped"] is (len(sure) < len(found["path"]))


def test_the_text_begins_with_the_answer_and_shows_the_path(capsys, run, images):
    found = predictions(capsys, images, run)
    wordnet = load_wordnet()
    assert all(guess["gloss"] == wordnet[guess["wnid"]].gloss for row in found for guess in row["path"])
    status, out, _ = answer(capsys, "predict", images, "--checkpoint", run, "--device", "cpu", "--top", 1)
    assert status == 0
    blocks = out.split(f"{images}/")[1:]
    for block, prediction in zip(blocks, found, strict=True):
        head, *lines = block.splitlines()
        named = prediction["answer"]["path"] if prediction["answer"] else "no confident label"
        more = ", not sure which" if prediction["answer"] and prediction["stopped"] else ""
        assert head.endswith(f": {named}{more}")
        if prediction["answer"]:
            assert lines.pop(0) == f"  {definition(prediction['answer']['gloss'])}"
        shown = [line.split(maxsplit=3)[3] for line in lines]
        assert shown == [guess["path"] for guess in prediction["path"]]


def test_more_classes_than_one_per_level_are_shown_beside_the_path(capsys, run, images):
    _, out, _ = answer(capsys, "predict", images / "0.png", "--checkpoint", run, "--device", "cpu", "--top", 2)
    path, _, others = out.partition("  most probable, whatever the path:\n")
    found = predictions(capsys, images, run, "--top", 2)[0]
    assert len(path.splitlines()) == 1 + bool(found["answer"]) + len(found["path"])
    assert len(others.splitlines()) == sum(len(level["guesses"]) for level in found["levels"])
    out = images.parent / "labels.png"
    assert answer(capsys, "predict", images / "0.png", "--checkpoint", run, "--picture", out, "--top", 2)[0] == 0
    assert out.read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize("value", ["-0.1", "1.1", "nan", "half"])
def test_a_confidence_that_is_no_probability_is_refused(capsys, tmp_path, value):
    status, out, err = answer(capsys, "predict", "a.jpg", "--checkpoint", tmp_path, "--confidence", value)
    assert (status, out, len(error_lines(err))) == (2, "", 1)
    assert "--confidence" in err
    assert value in err


def test_classes_without_a_hierarchy_have_labels_and_no_path():
    guess = Guess("cat", "cat", "cat", 0.9)
    flat = Prediction("a.jpg", (LevelGuesses(None, (guess,)),), ("cat",))
    assert (flat.headline, flat.beside) == ("cat", flat.levels)
    assert flat.to_dict()["path"] == ()
    assert flat.to_dict()["answer"] is None
    unsure = replace(flat, labels=(), path=PathGuess(answer=replace(guess, probability=0.4)))
    assert (unsure.headline, unsure.path.answered) == ("cat, not sure", ())
    assert [(row["kind"], row["name"], row["probability"]) for row in prediction_rows(unsure)][:1] == [
        ("answer", "cat", 0.4)
    ]
    assert Prediction("a.jpg", path=PathGuess((guess,), None, stopped=True)).headline == ""

"""Predictions of published models: timm's weights by their name, the authors' by the paper's, with their classes."""

import json

import pytest
import timm
import torch
from hub import put_into_cache
from small_dataset import picture
from train_runs import answer

import in21k
from in21k.tree.class_lists import PublishedList, published_class_list
from in21k.tree.wordnet import load_wordnet


@pytest.fixture
def photo(tmp_path):
    picture(1, 1, 48).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def predicted(capsys, photo, *words):
    status, out, err = answer(capsys, "predict", photo, "--device", "cpu", "--json", *words)
    assert (status, err) == (0, "")
    return json.loads(out)[0]


def test_timms_weights_name_the_classes_of_imagenet1k(capsys, monkeypatch, tmp_path, photo):
    torch.manual_seed(0)
    weights = timm.create_model("test_resnet").state_dict()
    put_into_cache(monkeypatch, tmp_path / "cache", "test_resnet.r160_in1k", weights)
    found = predicted(capsys, photo, "--checkpoint", "timm:test_resnet.r160_in1k", "--top", 3)
    [level] = found["levels"]
    assert (level["level"], len(level["guesses"]), found["path"]) == (None, 3, [])
    model = timm.create_model("test_resnet", num_classes=1000).eval()
    model.load_state_dict(weights)
    best = level["guesses"][0]
    assert best["gloss"] == load_wordnet()[best["wnid"]].gloss
    again = in21k.load_model("timm:test_resnet.r160_in1k", device="cpu").predict(photo, top=3)
    assert [guess.wnid for guess in again.levels[0].guesses] == [guess["wnid"] for guess in level["guesses"]]


def test_the_authors_weights_answer_with_a_path_through_imagenet21k(capsys, monkeypatch, tmp_path, photo):
    torch.manual_seed(0)
    weights = timm.create_model("mobilenetv3_large_100", num_classes=11_221).state_dict()
    torch.save({"state_dict": weights}, tmp_path / "authors.pth")
    named = ["--checkpoint", "mobilenetv3-l"]
    file = predicted(capsys, photo, *named, "--weights", tmp_path / "authors.pth")
    wnids = set(published_class_list(PublishedList.FALL11))
    assert file["path"]
    assert {guess["wnid"] for guess in file["path"]} <= wnids
    put_into_cache(monkeypatch, tmp_path / "cache", "mobilenetv3_large_100.miil_in21k", weights)
    for words in (named, ["--checkpoint", "timm:mobilenetv3_large_100.miil_in21k"]):
        found = predicted(capsys, photo, *words)
        assert [guess["wnid"] for guess in found["path"]] == [guess["wnid"] for guess in file["path"]]


@pytest.mark.parametrize(
    ("words", "status", "line"),
    [
        (["--checkpoint", "timm:resnet81"], 1, "timm has no model 'resnet81'"),
        (["--checkpoint", "ResNet50"], 1, "pass the authors' file as --weights FILE"),
        (["--checkpoint", "TResNet-M", "--data", "x"], 2, "names its classes itself"),
        (["--checkpoint", "TResNet-N"], 1, "there is no checkpoint"),
    ],
)
def test_a_model_that_is_not_to_be_had_is_said(capsys, photo, words, status, line):
    found, out, err = answer(capsys, "predict", photo, *words)
    assert (found, out) == (status, "")
    assert line in err

"""Trained models in use: predictions as text, JSON and pictures."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from small_dataset import picture
from train_runs import answer, trained

from in21k.shards_manifest.manifest import HIERARCHY, MANIFEST, TableFile, read_manifest
from in21k.shards_manifest.storage.location import locate
from in21k.train.images.decode import FILTERS
from in21k.train.use.guesses import Guess, LevelGuesses, Prediction
from in21k.train.use.predict_picture import draw_picture
from in21k.train.use.trained_model import open_trained


@pytest.fixture(scope="module")
def run(dataset_folder, tmp_path_factory) -> Path:
    return trained(dataset_folder, tmp_path_factory.mktemp("use") / "run", "test_resnet", **{"optim.epochs": 2})


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("images")
    paths = [folder / "one.jpg", folder / "two $x$.png"]
    for number, path in enumerate(paths):
        picture(number, 5, 48).save(path)
    return paths


def predictions(capsys, *arguments: object) -> tuple[int, list[dict], str]:
    status, out, err = answer(capsys, "predict", *arguments, "--device", "cpu", "--json")
    return status, json.loads(out), err


@pytest.mark.parametrize("interpolation", FILTERS)
def test_each_level_has_its_own_softmax(capsys, dataset_folder, tmp_path, images, interpolation):
    """Of an image that is resized as the run resized its own."""
    run = trained(dataset_folder, tmp_path / "run", "test_resnet", **{"data.interpolation": interpolation})
    status, found, err = predictions(capsys, images[0], "--checkpoint", run, "--top", 20)
    assert (status, err) == (0, "")
    model = open_trained(run)
    hierarchy = model.classes.hierarchy
    assert [level["level"] for level in found[0]["levels"]] == np.flatnonzero(hierarchy.active).tolist()
    pixels = torch.from_numpy(np.array(Image.open(images[0]).resize((32, 32), FILTERS[interpolation])))
    with torch.inference_mode():
        rows = model.network.module(pixels.permute(2, 0, 1)[None].float() / 255)[0]
    logits = dict(zip(hierarchy.wnids, model.network.order.to_classes(rows).tolist(), strict=True))
    for level in found[0]["levels"]:
        names = [wnid for wnid, at in zip(hierarchy.wnids, hierarchy.levels, strict=True) if at == level["level"]]
        shares = torch.tensor([logits[wnid] for wnid in names]).softmax(0).tolist()
        expected = dict(zip(names, shares, strict=True))
        assert {guess["wnid"]: guess["probability"] for guess in level["guesses"]} == pytest.approx(expected, abs=1e-5)
        ordered = [guess["probability"] for guess in level["guesses"]]
        assert ordered == sorted(ordered, reverse=True)
    dog = next(guess for level in found[0]["levels"] for guess in level["guesses"] if guess["name"] == "dog")
    assert dog["path"] == "animal > domestic animal > dog"


def test_bad_images_are_a_line_each_and_the_others_are_predicted(capsys, run, images, tmp_path):
    (tmp_path / "text.jpg").write_text("no image")
    (tmp_path / "short.jpg").write_bytes(images[0].read_bytes()[:300])
    given = [tmp_path / "text.jpg", images[0], tmp_path / "none.jpg", tmp_path / "short.jpg", images[1]]
    status, out, err = answer(capsys, "predict", *given, "--checkpoint", run, "--device", "cpu")
    assert status == 1
    assert [line.split(": ")[2] for line in err.splitlines()] == [str(given[at]) for at in (0, 2, 3)]
    assert "No such file" in err
    assert [line.split(":")[0] for line in out.splitlines() if not line.startswith(" ")] == [
        str(images[0]),
        str(images[1]),
    ]


def test_a_picture_shows_every_image(capsys, run, images, tmp_path):
    out = tmp_path / "labels.png"
    assert answer(capsys, "predict", *images, "--checkpoint", run, "--picture", out, "--top", 2)[0] == 0
    with Image.open(out) as drawn:
        assert drawn.format == "PNG"
        assert drawn.width > 800
        assert len(drawn.convert("RGB").getcolors(1 << 24)) > 100
    status, _, err = answer(capsys, "predict", *images, "--checkpoint", run, "--picture", tmp_path / "labels.jpg")
    assert (status, err.count("\n")) == (1, 1)
    assert "ends in .png" in err


def test_a_model_file_alone_takes_names_from_data_or_a_table(capsys, run, images, dataset_folder, tmp_path):
    weights = shutil.copy(max(run.glob("checkpoints/*/model.safetensors")), tmp_path)
    status, _, err = answer(capsys, "predict", images[0], "--checkpoint", weights)
    assert status == 1
    assert "has no hierarchy.parquet beside it; pass its dataset as --data" in err
    _, beside, _ = predictions(capsys, images[0], "--checkpoint", run)
    assert predictions(capsys, images[0], "--checkpoint", weights, "--data", dataset_folder)[1] == beside
    table = dataset_folder / "hierarchy.parquet"
    assert predictions(capsys, images[0], "--checkpoint", weights, "--hierarchy", table)[1] == beside


def test_a_table_of_other_classes_is_refused(capsys, run, images, tmp_path):
    from small_dataset import WNIDS, write_dataset

    other = write_dataset(tmp_path / "other", wnids=WNIDS[:-1], train=(4,), val=(4,))
    status, _, err = answer(capsys, "predict", images[0], "--checkpoint", run, "--data", other)
    assert (status, err.count("\n")) == (1, 1)
    assert "lists classes that differ" in err


def test_a_dataset_whose_table_changed_does_not_name_classes(capsys, run, images, dataset_folder, tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    table = (dataset_folder / HIERARCHY).read_bytes()
    (folder / HIERARCHY).write_bytes(table)
    record = TableFile(10, len(table), "0" * 64)
    manifest = replace(read_manifest(locate(dataset_folder)), tables={HIERARCHY: record})
    (folder / MANIFEST).write_bytes(manifest.to_json())
    status, _, err = answer(capsys, "predict", images[0], "--checkpoint", run, "--data", folder)
    assert (status, err.count("\n")) == (1, 1)
    assert f"{folder / HIERARCHY} has changed since the dataset was written" in err


def test_a_picture_does_not_replace_an_image_or_another_file(capsys, run, tmp_path):
    cat, notes = tmp_path / "cat.png", tmp_path / "notes.png"
    picture(1, 1).save(cat)
    notes.write_text("mine")
    for place, message in ((cat, "is one of the images"), (notes, "exists and is not a PNG")):
        before = place.read_bytes()
        status, _, err = answer(capsys, "predict", cat, "--checkpoint", run, "--picture", place)
        assert (status, err.count("\n")) == (1, 1)
        assert message in err
        assert place.read_bytes() == before


def test_a_picture_shows_names_as_they_are_and_not_as_formulas(images, tmp_path, recwarn):
    name = "$\\frac$ \x1b[2J 日本"
    guesses = LevelGuesses(None, (Guess("label", name, name, 0.9),))
    draw_picture([Prediction(str(images[0]), (guesses,), (name,))], tmp_path / "picture.png")
    assert (tmp_path / "picture.png").read_bytes()[:4] == b"\x89PNG"
    assert [str(warning.message) for warning in recwarn] == []

"""A taxonomy of one's own from the folders to a trained, evaluated, used and exported model, whatever its labels."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import timm
import torch
from commands import call
from own_trees import OPTIONS, STRANGE, draw_folders
from train_runs import answer

SMALL = (
    "--scratch",
    "--model",
    "test_resnet",
    "--epochs",
    1,
    "--batch-size",
    12,
    "--workers",
    0,
    "--device",
    "cpu",
    "--no-amp",
)


def pretrained(capsys, folder: Path, raw: Path, name: str, *options) -> tuple[str, dict]:
    call("run", raw, folder / f"work-{name}", folder / name, *OPTIONS[:4], "--size", 32, "--workers", 1, *options)
    data, run = folder / name, folder / f"run-{name}"
    status, out, err = answer(capsys, "pretrain", data, *SMALL, "--output", run, "--json")
    assert status == 0, err
    return err, json.loads(out)


@pytest.fixture
def nested(tmp_path) -> Path:
    """A dump of 4 ranks, whose species have strange names, some of them under two genera."""
    genera = ("life/one\nline/a", "life/one\nline/A", "death & co/$2$/<b>")
    folders = [f"{genus}/{label}" for genus in genera for label in STRANGE[2::5]]
    return draw_folders(tmp_path / "raw", folders)


def test_a_model_of_four_ranks_is_trained_evaluated_used_and_exported(nested, tmp_path, capsys):
    err, summary = pretrained(capsys, tmp_path, nested, "tree", "--edges-from-folders")
    assert "note: the classes" not in err
    assert list(summary["val_semantic_top1_by_level"]) == ["0", "1", "2", "3"]
    run, data = tmp_path / "run-tree", tmp_path / "tree"

    status, out, err = answer(capsys, "evaluate", data, "--checkpoint", run, "--device", "cpu", "--json")
    assert status == 0, err
    assert json.loads(out)["val_semantic_top1"] == pytest.approx(summary["val_semantic_top1"], abs=1e-6)

    rows = pq.read_table(data / "hierarchy.parquet").to_pylist()
    image = next((nested / "life").rglob("*.jpg"))
    picture = tmp_path / "picture.png"
    predict = ("predict", image, "--checkpoint", run, "--device", "cpu", "--top", 50)
    status, out, err = answer(capsys, *predict, "--json", "--picture", picture)
    assert (status, err) == (0, "")
    levels = json.loads(out)[0]["levels"]
    guessed = {level["level"]: {guess["wnid"] for guess in level["guesses"]} for level in levels}
    assert guessed == {at: {row["wnid"] for row in rows if row["level"] == at} for at in range(4)}
    assert picture.stat().st_size > 10_000
    status, out, err = answer(capsys, *predict)
    assert (status, err) == (0, "")
    assert all(line.isprintable() for line in out.split("\n"))

    assert answer(capsys, "export", run, tmp_path / "exported")[0] == 0
    config = json.loads((tmp_path / "exported" / "config.json").read_text())
    assert config["label_names"] == [row["wnid"] for row in rows]
    assert config["label_descriptions"] == {row["wnid"]: row["name"] for row in rows}
    model = timm.create_model(f"local-dir:{tmp_path / 'exported'}", pretrained=True).eval()
    with torch.inference_mode():
        assert model(torch.zeros(1, 3, 32, 32)).shape == (1, len(rows))


def test_the_same_images_without_a_tree_are_trained_with_one_softmax_and_the_trainer_says_so(nested, tmp_path, capsys):
    for at, folder in enumerate(sorted(path.parent for path in nested.rglob("0.jpg"))):
        folder.rename(tmp_path / f"class {at}")
        (tmp_path / "flat").mkdir(exist_ok=True)
        (tmp_path / f"class {at}").rename(tmp_path / "flat" / f"{at} {folder.name}")
    err, summary = pretrained(capsys, tmp_path, tmp_path / "flat", "plain", "--flat")
    assert err.count("\n") == 1
    assert "plain have one level, so loss.scheme=semantic-softmax is a softmax over all of them" in err
    assert list(summary["val_semantic_top1_by_level"]) == ["0"]
    assert summary["train_loss"] == pytest.approx(np.log(summary["classes"]), rel=0.5)


def test_a_classifier_of_imagenet_is_not_looked_for_under_another_taxonomy(nested, tmp_path, capsys):
    call("run", nested, tmp_path / "work", tmp_path / "tree", *OPTIONS, "--edges-from-folders")
    weights = tmp_path / "weights.pth"
    torch.save(timm.create_model("test_resnet", num_classes=11221).state_dict(), weights)
    evaluate = ("evaluate", tmp_path / "tree", "--model", "test_resnet", "--weights", weights, "--device", "cpu")
    status, _, err = answer(capsys, *evaluate)
    assert status == 1
    assert "of the dataset's" in err
    assert "classes are not among the 11,221 of" in err
    assert err.count("\n") == 1

"""Photos that do not decode are named, those of both splits, wherever a run keeps them."""

import pytest
from downstream import MODEL, SIDE, write_images, write_weights
from train_runs import answer

HOW = ("--model", MODEL, "--image-size", SIDE, "--device", "cpu", "--workers", 0, "--max-skipped", 0.5)


@pytest.fixture
def photos(tmp_path):
    labels = {f"{'ab'[at % 2]}/{at}.jpg": at % 2 for at in range(30)}
    write_images(tmp_path / "photos/train", labels)
    write_images(tmp_path / "photos/val", labels)
    for name in ("train/a/0.jpg", "val/b/1.jpg"):
        (tmp_path / "photos" / name).write_bytes(b"no image")
    return tmp_path / "photos"


@pytest.mark.parametrize(
    "how", [("--epochs", 2, "--batch-size", 30), ("--probe",), ("--knn", 3)], ids=["tune", "probe", "knn"]
)
def test_skipped_images_of_both_splits_are_named(capsys, photos, tmp_path, how):
    run, weights = tmp_path / "run", write_weights(tmp_path / "weights.safetensors")
    status, _, err = answer(capsys, "transfer", photos, "--checkpoint", weights, *HOW, "--output", run, *how)
    assert status == 0, err
    assert f"val images did not decode and were skipped; {run / 'skipped.csv'} names what was skipped\n" in err
    rows = [line.split(",")[1:] for line in (run / "skipped.csv").read_text().splitlines()]
    assert sorted(rows) == [*[["train/a/0.jpg", "train"]] * (2 if "--epochs" in how else 1), ["val/b/1.jpg", "val"]]
    if "--knn" in how:
        status, _, err = answer(capsys, "predict", photos, "--checkpoint", run)
        assert (status, err) == (
            1,
            f"in21k-train: error: {run} is a run of k-NN, which keeps no model; transfer --probe makes one\n",
        )


def test_what_is_like_a_name_of_timms_carries_the_prefix(capsys, photos, tmp_path):
    status, _, err = answer(capsys, "transfer", photos, "--checkpoint", "timm:resnet5O", "--output", tmp_path / "run")
    assert (status, "did you mean timm:resnet50" in err) == (1, True), err

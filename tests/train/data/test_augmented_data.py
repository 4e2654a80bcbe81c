"""Fine-tuning with crops, erasing, mixup and CutMix on data of other forms; their validation images stay whole."""

import pytest
from downstream import logits_of, mean_average_precision, one_epoch, top_k
from small_dataset import jpeg
from test_one_epoch_of_each import VAL, as_coco, as_folders
from test_open_datasets import cifar_100, write_cifar
from train_runs import train_losses

WITH = [
    word
    for setting in (
        "random_crop_min_area=0.2",
        "random_erasing=0.5",
        "mixup=0.4",
        "cutmix=1",
        "horizontal_flip=0.5",
    )
    for word in ("--set", f"data.{setting}")
]


def test_images_of_one_class_each(capsys, tmp_path):
    data = as_folders(tmp_path / "data")
    summary = one_epoch(capsys, data, tmp_path / "run", *WITH)
    logits = logits_of(tmp_path / "run", [jpeg(*image) for image in VAL])
    assert summary["val_top1"] == top_k(logits, [label for label, _ in VAL], 1)
    plain = one_epoch(capsys, data, tmp_path / "plain")
    assert summary["train_loss"] != plain["train_loss"]


def test_images_with_any_number_of_classes(capsys, tmp_path):
    data, images, sets = as_coco(tmp_path / "data")
    summary = one_epoch(capsys, data, tmp_path / "run", *WITH)
    logits = logits_of(tmp_path / "run", images)
    assert summary["val_map"] == pytest.approx(mean_average_precision(logits, sets), abs=1e-6)


def test_pixels_out_of_an_archive(capsys, tmp_path):
    data = write_cifar(tmp_path / "cifar-100-python.tar.gz", cifar_100()[2])
    summary = one_epoch(capsys, data, tmp_path / "run", *WITH, "--set", "run.log_steps=1")
    assert summary["skipped_images"] == 0
    assert len(train_losses(tmp_path / "run")) == summary["steps"]

"""The table of scores by class that a linear probe writes, computed anew from its features."""

import numpy as np
import pytest
import torch
from downstream import average_precision, class_scores, one_epoch, write_images
from safetensors.torch import load_file
from small_coco import write_coco


def probed(capsys, data, run) -> tuple[np.ndarray, list[int]]:
    """Fit a probe; return its val logits, float32 [N, C], and the ids of the label sets."""
    one_epoch(capsys, data, run, "--probe", "--keep-features")
    weights, features = load_file(run / "model.safetensors"), load_file(run / "features.safetensors")
    logits = torch.nn.functional.linear(features["val/features"], weights["fc.weight"], weights["fc.bias"])
    return logits.numpy(), features["val/label_ids"].tolist()


def test_a_probe_on_one_class_per_image_writes_the_top1_of_each_class(capsys, tmp_path):
    names = {f"{split}/class{at % 5}/{at}.jpg": at % 5 for split in ("train", "val") for at in range(40)}
    logits, labels = probed(capsys, write_images(tmp_path / "data", names), tmp_path / "run")
    hits = [[guess == own for guess, own in zip(logits.argmax(1), labels, strict=True) if own == label]
            for label in range(5)]  # fmt: skip
    assert list(class_scores(tmp_path / "run").values()) == [np.mean(found) for found in hits]


def test_a_probe_on_several_classes_per_image_writes_their_average_precision(capsys, tmp_path):
    logits, rows = probed(capsys, write_coco(tmp_path / "coco", train=64, val=16), tmp_path / "run")
    numbers = [row - 64 for row in rows]
    expected = {
        name: average_precision(logits[:, at].tolist(), [bool(number >> at & 1) for number in numbers])
        for at, name in enumerate(("person", "cow"))
    }
    assert class_scores(tmp_path / "run") == pytest.approx(expected, rel=1e-6)


def test_a_probe_without_validation_writes_no_table(capsys, tmp_path):
    one_epoch(capsys, write_coco(tmp_path / "coco", train=64, val=0), tmp_path / "run", "--probe")
    assert not (tmp_path / "run" / "val_classes.csv").exists()

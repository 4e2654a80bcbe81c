"""The layouts that have no file of tests of their own: an epoch from the command line, its scores computed anew."""

import io
import pickle
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from downstream import (
    average_precision,
    class_scores,
    logits_of,
    mean_average_precision,
    micro_average_precision,
    one_epoch,
    top_k,
    write_images,
)
from PIL import Image
from small_coco import write_coco
from small_dataset import jpeg

from in21k.shards_manifest.tar import END, member_bytes

VAL = [(label, 100 + number) for number in range(4) for label in range(6)]
"""Of each validation image: its class, and the number that it is drawn with."""


def as_folders(root: Path) -> Path:
    for split, images in (("train", [(at % 6, at) for at in range(48)]), ("val", VAL)):
        for label, number in images:
            path = root / split / f"class{label}" / f"{number}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(jpeg(label, number))
    return root


def as_tars(root: Path) -> Path:
    root.mkdir()
    for split, images in (("train", [(at % 6, at) for at in range(48)]), ("val", VAL)):
        members = [
            member_bytes(f"{number}_{label}.{extension}", content)
            for label, number in images
            for extension, content in (("jpg", jpeg(label, number)), ("cls", str(label).encode()))
        ]
        (root / f"{split}.tar").write_bytes(b"".join(members) + END)
    return root


@pytest.mark.parametrize("write", [as_folders, as_tars])
def test_one_class_per_image_scores_top1_and_top5(capsys, tmp_path, write):
    summary = one_epoch(capsys, write(tmp_path / "data"), tmp_path / "run")
    logits, labels = logits_of(tmp_path / "run", [jpeg(*image) for image in VAL]), [label for label, _ in VAL]
    assert summary["val_images"] == 24
    assert summary["val_top1"] == top_k(logits, labels, 1)
    assert summary["val_top5"] == top_k(logits, labels, 5)
    recognized = [[guess == label for guess, own in zip(logits.argmax(1), labels, strict=True) if own == label]
                  for label in range(6)]  # fmt: skip
    assert list(class_scores(tmp_path / "run").values()) == [np.mean(hits) for hits in recognized]


def as_coco(root: Path) -> tuple[Path, list[bytes], list[set[int]]]:
    """COCO's images, of which image i has the categories of i's lowest two bits, and no toothbrush."""
    write_coco(root, train=32, val=16)
    images = [(root / "val2017" / f"{number:03d}.jpg").read_bytes() for number in range(16)]
    return root, images, [{bit for bit in (0, 1) if number >> bit & 1} for number in range(16)]


def as_voc(root: Path) -> tuple[Path, list[bytes], list[set[int]]]:
    names = {f"{number:06d}": number for number in range(48)}
    write_images(root / "JPEGImages", {f"{name}.jpg": number % 4 for name, number in names.items()})
    for folder in ("ImageSets/Main", "Annotations"):
        (root / folder).mkdir(parents=True)
    sets = {name: {bit for bit in (0, 1, 2) if number >> bit & 1} for name, number in names.items()}
    for name, found in sets.items():
        objects = "".join(f"<object><name>{('ant', 'bee', 'cow')[at]}</name></object>" for at in found)
        (root / "Annotations" / f"{name}.xml").write_text(f"<annotation>{objects}</annotation>")
    split = {"trainval": list(names)[:32], "test": list(names)[32:]}
    for listed, members in split.items():
        (root / "ImageSets" / "Main" / f"{listed}.txt").write_text("\n".join(members))
    images = [(root / "JPEGImages" / f"{name}.jpg").read_bytes() for name in split["test"]]
    return root, images, [sets[name] for name in split["test"]]


def scores_by_class(logits: np.ndarray, sets: Sequence[set[int]]) -> list[float]:
    columns = [[at in found for found in sets] for at in range(logits.shape[1])]
    return [average_precision(logits[:, at].tolist(), own) for at, own in enumerate(columns) if any(own)]


@pytest.mark.parametrize("write", [as_coco, as_voc])
def test_any_number_of_classes_per_image_scores_macro_and_micro_map(capsys, tmp_path, write):
    root, images, sets = write(tmp_path / "data")
    summary = one_epoch(capsys, root, tmp_path / "run")
    logits = logits_of(tmp_path / "run", images)
    assert summary["val_images"] == 16
    assert summary["val_map"] == pytest.approx(mean_average_precision(logits, sets), rel=1e-6)
    assert summary["val_map_micro"] == pytest.approx(micro_average_precision(logits, sets), rel=1e-6)
    found = list(class_scores(tmp_path / "run").values())
    assert found == pytest.approx(scores_by_class(logits, sets), rel=1e-6)


def test_cifar_scores_top1_and_top5(capsys, tmp_path):
    root = tmp_path / "cifar-100-python"
    root.mkdir()
    (root / "meta").write_bytes(pickle.dumps({"fine_label_names": [f"class{at}" for at in range(6)]}, 2))
    pixels = {"train": 48, "test": 24}
    for name, count in pixels.items():
        labels = [at % 6 for at in range(count)]
        drawn = np.random.default_rng(count).integers(0, 256, (count, 3072)).astype(np.uint8)
        (root / name).write_bytes(pickle.dumps({"data": drawn, "fine_labels": labels}, 2))
    summary = one_epoch(capsys, root, tmp_path / "run")
    images = drawn.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    logits = logits_of(tmp_path / "run", [png(image) for image in images])
    assert summary["val_top1"] == top_k(logits, labels, 1)
    assert summary["val_top5"] == top_k(logits, labels, 5)


def png(image: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()

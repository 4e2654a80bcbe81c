"""One epoch of `transfer` from the command line, and its scores computed anew: by timm's network, PIL and numpy."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from small_dataset import jpeg
from train_runs import answer, summary_of

MODEL = "test_resnet"
SIDE = 32
"""Of the images: no size is changed on the way to the network."""


def write_images(folder: Path, labels: dict[str, int]) -> Path:
    """Write a JPEG per name, whose look follows its class."""
    for number, (name, label) in enumerate(labels.items()):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(label, number, SIDE))
    return folder


def write_weights(path: Path) -> Path:
    torch.manual_seed(0)
    save_file(timm.create_model(MODEL).state_dict(), path)
    return path


def one_epoch(capsys, data: object, run: Path, *how: object) -> dict[str, Any]:
    """Run `transfer` for an epoch on weights of no training, and return its summary."""
    weights = write_weights(run.with_name(f"{run.name}.safetensors"))
    given = ["--checkpoint", weights, "--model", MODEL, "--image-size", SIDE, "--output", run]
    given += ["--device", "cpu", "--workers", 0, "--set", "model.inputs=unit", *how]
    if not {"--probe", "--knn"} & {*how}:
        given += ["--epochs", 1, "--batch-size", 8, "--lr", 2e-3, "--set", "data.cutout=0"]
    status, _, err = answer(capsys, "transfer", data, *given)
    assert (status, err) == (0, "")
    return summary_of(run)


def logits_of(run: Path, images: Sequence[bytes]) -> np.ndarray:
    """The run's logits for image files, float32 [N, C] in class order."""
    checkpoint = next((run / "checkpoints").iterdir())
    ema = checkpoint / "ema.safetensors"  # which val passes use where a recipe keeps it
    weights = load_file(ema if ema.exists() else checkpoint / "model.safetensors")
    model = timm.create_model(MODEL, num_classes=len(weights["fc.weight"])).eval()
    model.load_state_dict(weights)
    pixels = [np.asarray(Image.open(io.BytesIO(image)).convert("RGB")).transpose(2, 0, 1) for image in images]
    with torch.inference_mode():
        return model(torch.from_numpy(np.stack(pixels)).float() / 255).numpy()


def top_k(logits: np.ndarray, labels: Sequence[int], k: int) -> float:
    """The share of images whose class is among the k most probable."""
    best = np.argsort(-logits, axis=1, kind="stable")[:, :k]
    return float(np.mean([label in row for label, row in zip(labels, best.tolist(), strict=True)]))


def average_precision(scores: Sequence[float], is_label: Sequence[bool]) -> float:
    """The mean, over the images that have the label, of the share of labeled images among those that score as high."""
    found = [
        np.mean([hit for hit, other in zip(is_label, scores, strict=True) if other >= score])
        for score, own in zip(scores, is_label, strict=True)
        if own
    ]
    return float(np.mean(found))


def class_scores(run: Path) -> dict[str, float]:
    """The run's table of scores by class, without the classes that have none."""
    with (run / "val_classes.csv").open(encoding="utf-8") as file:
        rows = list(csv.reader(file))
    return {row[1]: float(row[-1]) for row in rows[1:] if row[-1]}


def micro_average_precision(logits: np.ndarray, sets: Sequence[set[int]]) -> float:
    """The average precision of all pairs of an image and a class."""
    pairs = [number in labels for labels in sets for number in range(logits.shape[1])]
    return average_precision(logits.ravel().tolist(), pairs)


def mean_average_precision(logits: np.ndarray, sets: Sequence[set[int]]) -> float:
    """The mean of the average precisions of the classes that have images."""
    columns = [[number in labels for labels in sets] for number in range(logits.shape[1])]
    return float(
        np.mean([average_precision(logits[:, at].tolist(), own) for at, own in enumerate(columns) if any(own)])
    )

"""Embeddings as the tests ask for them, and the vectors of timm's own network to compare with."""

import io
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import timm
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from train_runs import answer

MODEL, SIDE = "test_resnet", 32
FIXED = ["--model", MODEL, "--image-size", SIDE, "--device", "cpu", "--batch-size", 8]


def random_weights(path: Path) -> Path:
    """Write weights of no training, as timm would publish them."""
    torch.manual_seed(0)
    save_file(timm.create_model(MODEL).state_dict(), path)
    return path


def embed(capsys, source, output, weights, *how):
    """Run the command with no loader processes and return its summary."""
    status, out, err = answer(
        capsys, "embed", *source, "--checkpoint", weights, "--output", output, *FIXED, "--workers", 0, "--json", *how
    )
    assert status == 0, err
    return json.loads(out)


def refusal(capsys, source, output, weights, *how) -> str:
    status, _, err = answer(capsys, "embed", *source, "--checkpoint", weights, "--output", output, *FIXED, *how)
    assert status in (1, 2)
    assert err.count("\n") == 1
    return err


def rows_of(folder: Path) -> list[dict]:
    return [row for path in sorted(folder.glob("embeddings-*.parquet")) for row in pq.read_table(path).to_pylist()]


def vectors_of(folder: Path) -> np.ndarray:
    return np.array([row["vector"] for row in rows_of(folder) if row["vector"] is not None], np.float32)


def expected(weights: Path, images: list[bytes], layer: str = "") -> np.ndarray:
    """The vectors of timm's own network, float32 [N, D], for images whose size is not changed on the way."""
    model = timm.create_model(MODEL).eval()
    model.load_state_dict(load_file(weights))
    found = []
    for image in images:
        given = inputs_of(model, image)
        with torch.inference_mode():
            if layer:
                values = dict(model.named_modules())[layer](model.maxpool(model.act1(model.bn1(model.conv1(given)))))
                found.append(values.mean((2, 3))[0].numpy())
            else:
                found.append(model.forward_head(model.forward_features(given), pre_logits=True)[0].numpy())
    return np.stack(found)


def inputs_of(model: torch.nn.Module, image: bytes) -> torch.Tensor:
    """The inputs of timm's network for an image, float32 [1, 3, H, W]."""
    mean, std = (torch.tensor(model.default_cfg[name]).view(3, 1, 1) for name in ("mean", "std"))
    pixels = torch.from_numpy(np.array(Image.open(io.BytesIO(image)).convert("RGB")).transpose(2, 0, 1))
    return ((pixels.float() / 255 - mean) / std)[None]

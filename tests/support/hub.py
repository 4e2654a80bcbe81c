"""Weights for timm in its download cache."""

from collections.abc import Mapping
from pathlib import Path

import huggingface_hub.constants
import pytest
import torch
from safetensors.torch import save_file

COMMIT = "0" * 40


def put_into_cache(
    monkeypatch: pytest.MonkeyPatch, cache: Path, name: str, weights: Mapping[str, torch.Tensor]
) -> None:
    """Put weights into the cache as timm's for a name, for this process and its children, and take the hub offline."""
    folder = cache / f"models--timm--{name}"
    (folder / "snapshots" / COMMIT).mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(COMMIT)
    save_file(dict(weights), folder / "snapshots" / COMMIT / "model.safetensors")
    monkeypatch.setenv("HF_HUB_CACHE", str(cache))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)

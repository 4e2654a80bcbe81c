"""What timm would download, put where it looks first."""

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
    """Make weights the ones that timm has for a name, in this process and those that it starts; nothing is online."""
    folder = cache / f"models--timm--{name}"
    (folder / "snapshots" / COMMIT).mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(COMMIT)
    save_file(dict(weights), folder / "snapshots" / COMMIT / "model.safetensors")
    monkeypatch.setenv("HF_HUB_CACHE", str(cache))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)

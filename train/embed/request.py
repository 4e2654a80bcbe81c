"""What a user asks to embed, and the settings on which the bytes of the embeddings depend."""

from dataclasses import dataclass
from typing import Any

import torch

from in21k.train.config.settings import Config
from in21k.train.device.precision import compute_dtype
from in21k.train.embed.folder import FORMAT_VERSION, THREADS, versions
from in21k.train.embed.model import EmbeddingModel
from in21k.train.embed.source import EmbeddingSource, SourceRequest
from in21k.train.stream.worker_count import available_cpus

ROWS = 32_768
"""Images per file by default: of 2,048 values in float16, 134 MB."""

CLASSIFIER_INPUT = "classifier input"
"""What the record calls the layer, where none is named."""


@dataclass(frozen=True)
class EmbeddingRequest:
    """What to embed, and how."""

    source: SourceRequest
    checkpoint: str
    """A run's folder, a checkpoint's, an exported model's, a file of weights, or timm:NAME."""
    model: str = ""
    """timm's name or the paper's, for a file of weights that are not ours."""
    layer: str = ""
    """Whose outputs are the vectors; empty for the inputs of the classifier."""
    dtype: str = "float16"
    """float16 or float32."""
    normalized: bool = False
    """Whether each vector is divided by its Euclidean length."""
    batch_size: int = 64
    """Images that pass through the network at once."""
    rows: int = ROWS
    """Images per file."""


def settings_of(
    request: EmbeddingRequest, config: Config, model: EmbeddingModel, source: EmbeddingSource, device: torch.device
) -> dict[str, Any]:
    """Return the settings that are recorded: all that the bytes of the embeddings depend on but for the images."""
    run = config.run
    rows = min(request.rows, max(piece.images for piece in source.pieces))
    return {
        "format_version": FORMAT_VERSION,
        "model": {
            "name": model.network.name,
            "weights_sha256": model.weights_sha256,
            "image_size": model.image_size,
            "interpolation": model.interpolation,
            "mean": list(model.network.normalization.mean),
            "std": list(model.network.normalization.std),
        },
        "layer": request.layer or CLASSIFIER_INPUT,
        "dtype": request.dtype,
        "normalized": request.normalized,
        "source": {
            "name": source.name,
            "digest": source.digest,
            "splits": {piece.split or "": piece.images for piece in source.pieces},
        },
        "rows_per_file": request.rows,
        "batch_size": min(request.batch_size, rows),
        "device": device.type,
        "precision": str(compute_dtype(device, run.amp, run.amp_dtype)).removeprefix("torch."),
        THREADS: available_cpus() if device.type == "cpu" else 0,
        "versions": versions(),
    }

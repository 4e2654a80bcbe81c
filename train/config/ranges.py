"""Which values the settings take."""

from collections.abc import Mapping
from typing import Any

from in21k.train.errors import TrainError

RANGES: Mapping[str, tuple[float, float]] = {
    "model.drop_path": (0, 1),
    "data.image_size": (0, 4096),
    "data.batch_size": (1, 2**24),
    "data.eval_batch_size": (1, 2**24),
    "data.cutout": (0, 1),
    "data.randaugment_ops": (0, 14),
    "data.randaugment_magnitude": (0, 30),
    "optim.epochs": (1, 2**20),
    "optim.lr": (0, 1e6),
    "optim.weight_decay": (0, 1e6),
    "optim.beta1": (0, 0.999999),
    "optim.beta2": (0, 0.999999),
    "optim.momentum": (0, 0.999999),
    "optim.pct_start": (0, 1),
    "optim.div_factor": (1e-6, 1e12),
    "optim.final_div_factor": (1e-6, 1e12),
    "optim.ema_decay": (0, 0.9999999),
    "optim.accumulate": (1, 2**16),
    "optim.clip_norm": (0, 1e9),
    "loss.label_smoothing": (0, 1),
    "loss.gamma_negative": (0, 64),
    "loss.gamma_positive": (0, 64),
    "loss.clip": (0, 0.999),
    "distill.weight": (0, 1e6),
    "distill.hard_weight": (0, 1e6),
    "distill.temperature": (1e-3, 1e3),
    "distill.top_share": (1e-6, 1),
    "run.seed": (0, 2**63 - 1),
    "run.workers": (-1, 1024),
    "run.log_steps": (1, 2**40),
    "run.eval_epochs": (1, 2**20),
    "run.checkpoint_steps": (0, 2**40),
    "run.checkpoint_minutes": (0, 1e6),
    "run.keep_checkpoints": (1, 2**20),
}


CHOICES: Mapping[str, tuple[str, ...]] = {
    "data.augment_device": ("cpu", "gpu"),
    "distill.divergence": ("squared", "kl"),
    "model.inputs": ("auto", "unit", "timm"),
    "optim.name": ("adam", "adamw", "sgd"),
    "run.device": ("auto", "cpu", "cuda"),
    "run.amp_dtype": ("auto", "bfloat16", "float16"),
    "run.matmul_precision": ("highest", "high", "medium"),
}


def converted(key: str, value: Any, kind: type) -> Any:
    """Return a setting's value as its type; a whole number serves as a float.

    Raises:
        TrainError: it is of another type or outside its range, or none of the choices.
    """
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:  # a bool is no int here
        raise TrainError(f"{key} takes a value of type {kind.__name__}, not {value!r}")
    if key in CHOICES and value not in CHOICES[key]:
        raise TrainError(f"{key} is one of {', '.join(CHOICES[key])}, and not {value!r}")
    if key in RANGES:
        _check_range(key, value, *RANGES[key])
    return value


def _check_range(key: str, value: Any, low: float, high: float) -> None:
    if not low <= value <= high:  # nor is nan
        raise TrainError(f"{key} lies between {low:g} and {high:g}, and {value!r} does not")

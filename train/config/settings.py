"""The configuration of a run: frozen dataclasses, read from a recipe's TOML and overridden from the command line."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from in21k.train.config.data_settings import DataConfig as DataConfig
from in21k.train.config.data_settings import VideoConfig as VideoConfig
from in21k.train.config.detection_settings import DetectionConfig as DetectionConfig
from in21k.train.config.fields import METADATA, Setting, setting


@dataclass(frozen=True)
class ModelConfig:
    """The network and its initial weights."""

    name: str = setting("", "A timm model, or one of the paper's architectures by the paper's name.", text="free")
    pretrained: bool = setting(
        False, "Start from timm's weights for the model; they are downloaded, or taken from timm's cache."
    )
    init: str = setting(
        "",
        "Start from the weights in this file: safetensors, or a PyTorch file, which is read without running code. "
        "A classifier of another size is left out.",
        text="free",
    )
    start: str = setting(
        "any",
        "What a run starts from: weights, which `pretrained` or `init` has to name; random ones; or any of the two.",
        choices=("any", "weights", "random"),
    )
    new_head: bool = setting(
        False, "Leave the classifier out of the initial weights even if its size fits, because its classes are others."
    )
    init_ema: bool = setting(
        False, "Take the averaged weights of the `init` file, stored under state_dict_ema or model_ema."
    )
    inputs: str = setting(
        "auto",
        "Normalization of the pixels: unit (0 to 1), timm (the mean and std that timm states for the model), or auto: "
        "what the initial weights were trained with, and unit from scratch.",
        choices=("auto", "unit", "timm"),
    )
    drop_path: float = setting(0.0, "Drop-path rate (stochastic depth), for models that have it.", low=0, high=1)
    frozen_stages: int = setting(
        0,
        "Stages to freeze, from the input on, as timm counts them (of a ResNet the stem is the first, of a ViT the "
        "patches, then its blocks); their batch norm keeps its statistics.",
        low=0,
        high=1000,
    )
    grad_checkpointing: bool = setting(
        False, "Recompute activations in the backward pass instead of storing them: less memory, more time."
    )
    sync_bn: bool = setting(False, "Share batch-norm statistics across the ranks' GPUs.")
    channels_last: bool = setting(True, "Keep images and weights in channels-last memory format on a GPU.")


@dataclass(frozen=True)
class OptimConfig:
    """Optimizer and schedule."""

    name: str = setting(
        "adam",
        "The optimizer: adam (weight decay as an L2 penalty, as in the authors' code), adamw (decoupled weight decay) "
        "or sgd.",
        choices=("adam", "adamw", "sgd"),
    )
    epochs: int = setting(80, "Passes over the training images.", low=1, high=2**20)
    lr: float = setting(
        3e-4, "Peak learning rate of the one-cycle schedule; not scaled with the batch size.", low=0, high=1e6
    )
    head_lr: float = setting(1.0, "Learning rate of the classifier, as a multiple of the others'.", low=0, high=1e6)
    layer_decay: float = setting(
        1.0,
        "Layer-wise decay: the learning rate of a layer as a multiple of that of the next one; 1 turns it off.",
        low=0,
        high=1,
    )
    weight_decay: float = setting(
        1e-4, "Weight decay; biases, norms and whatever else the model exempts are spared.", low=0, high=1e6
    )
    beta1: float = setting(0.9, "Decay rate of the first moment (adam and adamw).", low=0, high=0.999999)
    beta2: float = setting(0.999, "Decay rate of the second moment (adam and adamw).", low=0, high=0.999999)
    eps: float = setting(1e-8, "Added to the denominator of the update (adam and adamw).", low=0, high=1)
    momentum: float = setting(0.9, "Momentum (sgd).", low=0, high=0.999999)
    nesterov: bool = setting(False, "Use Nesterov momentum (sgd).")
    momentum_at_peak: float = setting(
        0.0,
        "At the learning rate's peak, beta1 (adam and adamw) or momentum (sgd): it falls to this as the rate rises, "
        "and rises again as the rate falls; 0 leaves it constant.",
        low=0,
        high=0.999999,
    )
    schedule_share: float = setting(
        1.0,
        "Fraction of the schedule that the run covers; below 1, the run ends before its learning rate has fallen.",
        low=0.01,
        high=1,
    )
    pct_start: float = setting(0.1, "Fraction of the schedule during which the learning rate rises.", low=0, high=1)
    div_factor: float = setting(20.0, "Peak learning rate divided by the initial one.", low=1e-6, high=1e12)
    final_div_factor: float = setting(1e4, "Initial learning rate divided by the final one.", low=1e-6, high=1e12)
    ema_decay: float = setting(
        0.0,
        "Decay of the exponential moving average of the weights, which is evaluated in their place; 0 keeps none.",
        low=0,
        high=0.9999999,
    )
    ema_warmup: bool = setting(
        True, "Let the average move faster in the first steps: its decay is at most (1 + t) / (10 + t) after step t."
    )
    accumulate: int = setting(
        1, "Micro-batches into which each rank's batch is split, to save memory.", low=1, high=2**16
    )
    clip_norm: float = setting(
        0.0, "Largest gradient norm: larger gradients are scaled down to it; 0 turns clipping off.", low=0, high=1e9
    )


@dataclass(frozen=True)
class LossConfig:
    """The training scheme."""

    scheme: str = setting(
        "semantic-softmax",
        "The training scheme: how labels become a loss.",
        choices=(
            "single-label",
            "multi-label",
            "semantic-softmax",
            "distillation",
            "multi-label-distillation",
            "semantic-distillation",
            "hierarchical-cross-entropy",
            "soft-labels",
        ),
    )
    label_smoothing: float = setting(
        0.2,
        "Share of the target that is spread evenly over all classes of a softmax; not in the schemes multi-label, "
        "hierarchical-cross-entropy and soft-labels.",
        low=0,
        high=1,
    )
    gamma_negative: float = setting(
        4.0, "Focusing parameter of the asymmetric loss for negative classes; 0 turns it off.", low=0, high=64
    )
    gamma_positive: float = setting(
        1.0, "Focusing parameter of the asymmetric loss for positive classes; 0 turns it off.", low=0, high=64
    )
    clip: float = setting(
        0.05,
        "Margin of the asymmetric loss: negative classes whose probability is below it cost nothing.",
        low=0,
        high=0.999,
    )

    alpha: float = setting(
        0.5,
        "Hierarchical cross entropy: how much lighter each level weighs than the one above it; 0 gives all the same.",
        low=0,
        high=64,
    )
    beta: float = setting(
        10.0,
        "Soft labels: how fast the target falls with the distance in the hierarchy; the higher, the more of it the "
        "image's own class gets.",
        low=0,
        high=1e4,
    )
    reduction: str = setting(
        "mean",
        "Whose gradient is taken: the mean's over the images of a batch, or their sum's. With adam, the sum makes the "
        "weight decay weigh less, by the number of images. Logged losses are means in both cases.",
        choices=("mean", "sum"),
    )


@dataclass(frozen=True)
class DistillConfig:
    """The teacher of the distilling schemes."""

    teacher: str = setting(
        "",
        "The teacher: a run's folder, a checkpoint's folder, a model file, or a timm model with the dataset's classes.",
        text="free",
    )
    teacher_weights: str = setting(
        "", "The weights file of a timm teacher; empty means timm's own weights, a download.", text="free"
    )
    weight: float = setting(1.0, "Weight of the divergence from the teacher.", low=0, high=1e6)
    hard_weight: float = setting(1.0, "Weight of the hard-label loss; 0 leaves it out.", low=0, high=1e6)
    divergence: str = setting(
        "squared",
        "Divergence from the teacher's probabilities: squared (error), or kl (Kullback-Leibler, times the squared "
        "temperature).",
        choices=("squared", "kl"),
    )
    temperature: float = setting(1.0, "Divisor of the student's and the teacher's logits.", low=1e-3, high=1e3)
    top_share: float = setting(
        0.05,
        "Fraction of a level's classes whose summed probability is the teacher's confidence at that level.",
        low=1e-6,
        high=1,
    )


@dataclass(frozen=True)
class RunConfig:
    """How and where the run is computed."""

    seed: int = setting(
        0, "Seed of the initial weights, the order of the images and the augmentation.", low=0, high=2**63 - 1
    )
    amp: bool = setting(True, "Train in mixed precision.")
    amp_dtype: str = setting(
        "auto",
        "Type of mixed precision: bfloat16, float16, or auto: bfloat16 where the GPU has it, else float16, and float32 "
        "on a CPU.",
        choices=("auto", "bfloat16", "float16"),
    )
    matmul_precision: str = setting(
        "high",
        "Precision of float32 products on a GPU: highest, or high or medium, which allow TF32.",
        choices=("highest", "high", "medium"),
    )
    compile: bool = setting(False, "Compile the network with torch.compile.")
    deterministic: bool = setting(
        False, "Give the same result to the bit on the same GPU; slower, and not every model can."
    )
    device: str = setting(
        "auto",
        "Device to compute on: cpu, cuda, or auto (a CUDA GPU if there is one).",
        choices=("auto", "cpu", "cuda"),
    )
    workers: int = setting(
        -1, "Loader processes per rank; -1 chooses by the CPUs and the memory available.", low=-1, high=1024
    )
    log_steps: int = setting(50, "Steps between logged losses; every checkpoint logs one as well.", low=1, high=2**40)
    log_minutes: float = setting(
        5.0,
        "Minutes between the lines that say how far a run has come where there is no terminal, in addition to one at "
        "each epoch's end; 0 for those alone.",
        low=0,
        high=1e6,
    )
    eval_epochs: int = setting(1, "Epochs between val passes; the run ends with one.", low=1, high=2**20)
    checkpoint_steps: int = setting(
        0, "Steps between checkpoints; 0 means an epoch. The run ends with one.", low=0, high=2**40
    )
    checkpoint_minutes: float = setting(
        0.0, "Minutes between checkpoints, in addition to those by steps; 0 for none.", low=0, high=1e6
    )
    timeout_minutes: float = setting(
        10.0, "Minutes that a rank waits for the others in a step before the run ends.", low=0.01, high=1e5
    )
    start_timeout_minutes: float = setting(
        60.0,
        "The same until all ranks have taken their first step: they download, read their first batches, compile.",
        low=0.01,
        high=1e5,
    )
    keep_checkpoints: int = setting(2, "Checkpoints to keep, the newest ones.", low=1, high=2**20)
    save_predictions: bool = setting(
        False,
        "Write val_predictions.parquet and per_class.parquet after each val pass: what the network says of every "
        "validation image, and what that comes to for each class.",
    )


@dataclass(frozen=True)
class Config:
    """All of a run's configuration."""

    model: ModelConfig = ModelConfig()
    data: DataConfig = DataConfig()  # noqa: RUF009 - it is frozen, as the others are
    optim: OptimConfig = OptimConfig()
    loss: LossConfig = LossConfig()
    distill: DistillConfig = DistillConfig()
    detection: DetectionConfig = DetectionConfig()  # noqa: RUF009 - likewise
    run: RunConfig = RunConfig()
    video: VideoConfig = VideoConfig()  # noqa: RUF009 - likewise

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Return the configuration as nested plain values."""
        return asdict(self)


SETTINGS: Mapping[str, Setting] = {
    f"{section.name}.{declared.name}": declared.metadata[METADATA]
    for section in fields(Config)
    for declared in fields(getattr(Config, section.name))
}
"""What is known of each setting, by its dotted key such as `optim.lr`."""

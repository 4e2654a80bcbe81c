"""The configuration of a run: frozen dataclasses, read from a recipe's TOML and overridden from the command line."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class ModelConfig:
    """The network."""

    name: str = ""
    """A model of timm, or of the paper by the paper's name."""
    pretrained: bool = False
    """Start from timm's weights for the name; they are downloaded, or come from its cache."""
    init: str = ""
    """Start from this file's weights: safetensors, or a torch file that is read without running code."""
    new_head: bool = False
    """Leave the classifier out of timm's weights or `init`, even one of the right size: its classes are others."""
    init_ema: bool = False
    """Take that file's averaged weights, under state_dict_ema or model_ema."""
    inputs: str = "auto"
    """Range of the inputs: unit (0 to 1), timm (by the mean and std that it states), or auto: unit from scratch, else
    what the weights to begin with were trained on."""
    drop_path: float = 0.0
    """Stochastic depth, for models that have it."""
    grad_checkpointing: bool = False
    """Compute activations again in the backward pass rather than keep them: less memory, more time."""
    sync_bn: bool = False
    """Share batch norm statistics among GPUs."""
    channels_last: bool = True
    """Keep images and weights in channels-last order on a GPU."""


@dataclass(frozen=True)
class DataConfig:
    """Images, batches and augmentation."""

    image_size: int = 0
    """Side of the training images in pixels; 0 is the dataset's."""
    batch_size: int = 256
    """Images of a step over all processes."""
    eval_batch_size: int = 256
    """Images of a validation step of one process."""
    cutout: float = 0.5
    """Side of Cutout's square over the image's; 0 turns it off."""
    randaugment_ops: int = 2
    """RandAugment's operations an image; 0 turns it off."""
    randaugment_magnitude: int = 9
    """RandAugment's strength, 0 to 30."""
    augment_device: str = "cpu"
    """Where images are augmented: cpu (the loader's processes) or gpu (the batch on the training device)."""
    strict: bool = False
    """A sample that does not decode is an error; otherwise it is skipped and named."""
    verify_digest: bool = False
    """Compare each shard's SHA-256 with the manifest's before it is used."""
    cache: str = ""
    """A folder of this machine that keeps shards of an object store; empty for none."""
    cache_size: str = "100GB"
    """How large the cache may become."""


@dataclass(frozen=True)
class OptimConfig:
    """Optimizer and schedule."""

    name: str = "adam"
    """adam (weight decay as an L2 penalty, as in the paper), adamw (decay apart from the gradient), or sgd."""
    epochs: int = 80
    lr: float = 3e-4
    """The one-cycle schedule's peak; it is taken as given, whatever the batch size."""
    weight_decay: float = 1e-4
    """Kept off biases, norms and what the model names."""
    beta1: float = 0.9
    """adam and adamw, as the next two."""
    beta2: float = 0.999
    eps: float = 1e-8
    momentum: float = 0.9
    """sgd, as the next."""
    nesterov: bool = False
    pct_start: float = 0.1
    """Share of the run in which the learning rate rises."""
    div_factor: float = 20.0
    """Peak over the first learning rate."""
    final_div_factor: float = 1e4
    """First learning rate over the last."""
    ema_decay: float = 0.0
    """Of the moving average of the weights, which is evaluated in their place; 0 keeps none."""
    accumulate: int = 1
    """Equal parts of a process's share of a step that pass through the network one after another, to save memory."""
    clip_norm: float = 0.0
    """A gradient of a larger norm is scaled down to it; 0 leaves all as they are."""


@dataclass(frozen=True)
class LossConfig:
    """The training scheme."""

    scheme: str = "semantic-softmax"
    """single-label, multi-label, semantic-softmax, distillation or semantic-distillation."""
    label_smoothing: float = 0.2
    """Share of the target that all classes of a softmax divide among themselves; multi-label has none."""
    gamma_negative: float = 4.0
    """The asymmetric loss's focusing on classes that an image is wrongly given; 0 turns it off."""
    gamma_positive: float = 1.0
    """Its focusing on labels that an image is not given; 0 turns it off."""
    clip: float = 0.05
    """Its margin: probabilities of wrong classes below it cost nothing."""


@dataclass(frozen=True)
class DistillConfig:
    """The teacher of the distilling schemes."""

    teacher: str = ""
    """A run's folder, a checkpoint's, its file of weights, or a model of timm with the dataset's classes."""
    teacher_weights: str = ""
    """For a model of timm: the file of its weights; empty takes timm's own, a download."""
    weight: float = 1.0
    """Of the divergence from the teacher."""
    hard_weight: float = 1.0
    """Of the hard-label loss; 0 leaves it out."""
    divergence: str = "squared"
    """squared (error of the probabilities) or kl."""
    temperature: float = 1.0
    """Both logits are divided by it."""
    top_share: float = 0.05
    """Share of a level's classes whose summed probability is the teacher's confidence there."""


@dataclass(frozen=True)
class RunConfig:
    """How the run goes."""

    seed: int = 0
    amp: bool = True
    """Mixed precision."""
    amp_dtype: str = "auto"
    """bfloat16, float16, or auto: bfloat16 where the GPU has it, else float16; float32 on a CPU."""
    matmul_precision: str = "high"
    """Of float32 on a GPU: highest, or high and medium, which allow TF32."""
    compile: bool = False
    """Compile the network with torch.compile."""
    deterministic: bool = False
    """The same result to the bit on the same GPU; slower, and not every model can."""
    device: str = "auto"
    """auto, cpu or cuda."""
    workers: int = -1
    """Loader processes of each training process; -1 chooses by the CPUs at hand."""
    log_steps: int = 50
    """Steps from one logged loss to the next; a checkpoint logs too."""
    eval_epochs: int = 1
    """Epochs from one validation to the next; the run ends with one."""
    checkpoint_steps: int = 0
    """Steps from one checkpoint to the next; 0 is an epoch. The run ends with one."""
    checkpoint_minutes: float = 0.0
    """Minutes from one checkpoint to the next, beside those by steps; 0 for none."""
    keep_checkpoints: int = 2


@dataclass(frozen=True)
class Config:
    """All of a run's configuration."""

    model: ModelConfig = ModelConfig()
    data: DataConfig = DataConfig()
    optim: OptimConfig = OptimConfig()
    loss: LossConfig = LossConfig()
    distill: DistillConfig = DistillConfig()
    run: RunConfig = RunConfig()

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Return the configuration as nested plain values."""
        return asdict(self)

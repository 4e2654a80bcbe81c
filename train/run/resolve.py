"""A configuration with its names and defaults resolved, so that each value means what it says."""

from dataclasses import replace
from pathlib import Path

import timm

from in21k.train.config.detection_settings import NO_HEAD
from in21k.train.config.settings import Config, DataConfig, ModelConfig, RunConfig
from in21k.train.config.sizes import schedule_of
from in21k.train.data.interfaces import TrainingData
from in21k.train.device.ranks import Ranks
from in21k.train.errors import TrainError
from in21k.train.losses.schemes import check_labels
from in21k.train.model.architectures import find_architecture
from in21k.train.model.fitting import name_for_weights
from in21k.train.model.model_file import read_metadata
from in21k.train.model.network import check_name
from in21k.train.model.normalization import AUTO, TIMM, UNIT
from in21k.train.stream.source import check_frames
from in21k.train.stream.worker_count import default_workers
from in21k.train.video.video_file import require_av


def resolved(config: Config, dataset: TrainingData, ranks: Ranks) -> Config:
    """Return a configuration with timm's name of the model, its normalization, the image size and the workers.

    Raises:
        TrainError: the scheme does not take the dataset's labels, the settings do not go with its videos, neither the
            configuration nor the dataset says the image size, a size begins after the run's last epoch, the range of
            the random crops is empty, or timm lacks the model's weights.
    """
    if config.detection.head != NO_HEAD:
        raise TrainError("the recipe is one for detectors; use transfer --task detection, or another --recipe")
    check_labels(config.loss.scheme, dataset)
    _check_crops(config.data)
    _check_video(config, dataset)
    sizes = _resolve_sizes(config, dataset)
    return replace(
        config,
        model=resolve_model(config.model),
        data=replace(config.data, image_size=sizes),
        run=with_workers(config.run, ranks, _largest_batch(config, ranks), schedule_of(sizes).largest),
    )


def _largest_batch(config: Config, ranks: Ranks) -> int:
    """Return how many images, or frames of videos, a batch of this rank has at most: of training or of validation."""
    samples = max(config.data.batch_size // ranks.world_size, config.data.eval_batch_size * config.video.clips)
    return samples * max(config.video.frames, 1)


def _check_crops(data: DataConfig) -> None:
    """Refuse random crops of which the least value is greater than the greatest."""
    for name in ("area", "ratio"):
        low, high = (getattr(data, f"random_crop_{end}_{name}") for end in ("min", "max"))
        if data.random_crop_min_area and low > high:
            raise TrainError(
                f"data.random_crop_min_{name}={low:.6g} is more than data.random_crop_max_{name}={high:.6g}; give the "
                "smaller one first"
            )


def _check_video(config: Config, dataset: TrainingData) -> None:
    """Refuse settings that do not go with videos, and to take videos for images or images for videos."""
    if dataset.decoding(1).is_video and not config.video.frames:
        raise TrainError(f"{dataset.name} holds videos; a recipe with video.frames takes them, such as transfer-video")
    check_frames(dataset, config.video.frames)
    if not config.video.frames:
        if config.video.clips != 1:
            raise TrainError(
                f"video.clips={config.video.clips}: {dataset.name} holds images, which have no clips; leave it at 1"
            )
        return
    require_av()
    if (scheme := config.loss.scheme) != "single-label":
        raise TrainError(f"loss.scheme={scheme} does not take videos; single-label does")
    if config.data.augment_device != "cpu":
        raise TrainError("data.augment_device=gpu does not take videos; leave it at cpu")
    if config.distill.teacher:
        raise TrainError("videos are learned without a teacher; leave --teacher out")
    if config.data.mixup or config.data.cutmix:
        raise TrainError("data.mixup and data.cutmix mix images, no videos; leave both at 0")


def _resolve_sizes(config: Config, dataset: TrainingData) -> int | str:
    """Return `data.image_size`, where 0 stands for the dataset's."""
    if isinstance(config.data.image_size, int):
        return resolve_size(config.data.image_size, dataset)
    first, size = schedule_of(config.data.image_size).parts[-1]
    if first >= config.optim.epochs:
        raise TrainError(
            f"data.image_size={config.data.image_size!r} begins {size} pixels with epoch {first}, and the run's last "
            f"epoch is {config.optim.epochs - 1}, counted from 0; give more --epochs or an earlier one"
        )
    return config.data.image_size


def resolve_size(image_size: int, dataset: TrainingData) -> int:
    """Return the image size in pixels, where 0 stands for the dataset's.

    Raises:
        TrainError: the dataset does not say it.
    """
    if size := image_size or dataset.image_size:
        return size
    raise TrainError(f"{dataset.name} does not say how large its images are; pass --image-size")


def with_workers(run: RunConfig, ranks: Ranks, images: int, size: int) -> RunConfig:
    """Return the settings of a run with the number of loader processes, where -1 stands for what suits the machine.

    Args:
        run: the settings.
        ranks: this rank among the others.
        images: per step on this rank.
        size: side of the images in pixels.
    """
    if run.workers >= 0:
        return run
    return replace(run, workers=default_workers(ranks.local_world_size, images * size * size * 3))


def resolve_model(config: ModelConfig) -> ModelConfig:
    """Return the settings of a model with timm's name for it, and with its normalization.

    A model from scratch takes inputs of 0 to 1. One that starts from weights takes the inputs that these were trained
    on: those that timm states for the name, or those that a model file of ours says.

    One of the paper's names takes the form of its architecture that initial weights have.

    Raises:
        TrainError: timm has no weights of the paper's architecture that have seen ImageNet-1K alone, or the file of
            initial weights cannot be read.
    """
    return _with_normalization(_with_timm_name(config))


def require_model(config: Config) -> None:
    """Refuse a model, a teacher or initial weights that there are not, before data are opened.

    Raises:
        TrainError: timm has no such model, or no weights of it; or there is no such file.
    """
    name, teacher = _with_timm_name(replace(config.model, init="")).name, config.distill.teacher
    if name:
        check_name(name)
    if config.model.init and not Path(config.model.init).exists():
        raise TrainError(f"{config.model.init}: there is no such file")
    if teacher and "/" not in teacher and find_architecture(teacher) is None and not Path(teacher).exists():
        check_name(teacher)


def resolved_name(config: ModelConfig) -> str:
    """Return timm's name of a model, with the tag of its weights where they are timm's.

    Raises:
        TrainError: as `resolve_model`.
    """
    return _with_timm_name(config).name


def _with_timm_name(config: ModelConfig) -> ModelConfig:
    architecture = find_architecture(config.name)
    if architecture is None:
        return config
    if config.pretrained and not architecture.imagenet1k:
        others = timm.list_models(f"{architecture.timm}.*", pretrained=True)
        hint = f"; timm has others, which --model takes by name: {', '.join(others)}" if others else ""
        raise TrainError(
            f"timm has no weights of {architecture.name} that have seen ImageNet-1K alone; "
            f"pass a file (pretrain --init, transfer --checkpoint){hint}"
        )
    if config.init and not config.pretrained:
        return replace(config, name=name_for_weights(architecture, Path(config.init), ema=config.init_ema))
    return replace(config, name=architecture.timm_weights if config.pretrained else architecture.timm)


def _with_normalization(config: ModelConfig) -> ModelConfig:
    if config.inputs != AUTO:
        return config
    if config.init:
        return replace(config, inputs=_normalization_of_file(Path(config.init)))
    return replace(config, inputs=TIMM if config.pretrained else UNIT)


def _normalization_of_file(path: Path) -> str:
    try:
        trained = read_metadata(path).config.model.inputs
    except TrainError:  # not a file of ours
        return TIMM
    return UNIT if trained == AUTO else trained

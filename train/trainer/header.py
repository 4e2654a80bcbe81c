"""What the header of a run says: what is trained, from which weights, on which data, how their images are changed."""

from in21k.train.config.detection_settings import NO_HEAD
from in21k.train.config.settings import Config, DataConfig
from in21k.train.config.sizes import schedule_of
from in21k.train.data.interfaces import TrainingData
from in21k.train.device.header import data_text, model_text, step_text
from in21k.train.run.folder import Start
from in21k.train.trainer.session import Session


def run_facts(session: Session, start: Start, recipe: str) -> dict[str, str]:
    """Return what the header of a run says.

    Args:
        session: of the run.
        start: where the run starts.
        recipe: its name; empty if the configuration was given by a program.
    """
    config, plan, dataset = session.config, session.plan, session.dataset
    unit = "videos" if config.video.frames else "images"
    return {
        "model": model_text(config.model.name, session.network.module),
        "weights": _weights_text(config, start, plan.steps_per_epoch),
        "teacher": config.distill.teacher,
        "data": data_text(
            dataset.name,
            len(dataset.hierarchy),
            {"train": sum(plan.shard_lengths), "val": dataset.samples("val")},
            unit,
        ),
        "recipe": recipe or f"{config.loss.scheme}, as given",
        "images": images_text(config, dataset),
        "step": step_text(plan.global_batch, session.ranks, config.optim.accumulate, unit),
        "epochs": f"{plan.epochs:,} of {plan.steps_per_epoch:,} steps, {plan.total_steps:,} in all",
    }


def _weights_text(config: Config, start: Start, steps_per_epoch: int) -> str:
    """Return where a run's first weights are from."""
    if start.checkpoint is not None:
        epochs = f"{start.step / steps_per_epoch:,.2f}".rstrip("0").rstrip(".")
        return f"resumed after step {start.step:,}, {epochs} of {config.optim.epochs:,} epochs, from {start.checkpoint}"
    if config.model.init:
        return config.model.init
    return f"timm's, for {config.model.name}" if config.model.pretrained else "random"


def images_text(config: Config, dataset: TrainingData) -> str:
    """Return how the training images come to their size, and how they are augmented."""
    data = config.data
    if config.detection.head != NO_HEAD:
        return f"short side {data.image_size} pixels; {_flip(data)}"
    sizes = schedule_of(data.image_size)
    size = f"{sizes.last} x {sizes.last} pixels" if sizes.is_constant else f"{data.image_size} pixels, by epoch"
    changes = [size]
    if data.random_crop_min_area:
        changes.append(f"random crops of {data.random_crop_min_area:g} to {data.random_crop_max_area:g} of their area")
    elif dataset.image_size != sizes.last or not sizes.is_constant:
        changes.append("cropped to squares" if dataset.decoding(sizes.last).crops else "squished to squares")
    clips = f"; clips of {config.video.frames} frames" if config.video.frames else ""
    return f"{', '.join(changes)}{clips}; {', '.join(_augmentation(data))}"


def _augmentation(data: DataConfig) -> list[str]:
    """Return what is done to a training image, or that it is not where one may expect it."""
    erasing = [f"random erasing {data.random_erasing:g}"] if data.random_erasing else []
    mixing = [f"{name} {alpha:g}" for name, alpha in (("mixup", data.mixup), ("CutMix", data.cutmix)) if alpha]
    return [
        _flip(data),
        f"Cutout {data.cutout:g}" if data.cutout else "no Cutout",
        f"RandAugment {data.randaugment_ops}" if data.randaugment_ops else "no RandAugment",
        *erasing,
        *mixing,
    ]


def _flip(data: DataConfig) -> str:
    return f"flip {data.horizontal_flip:g}" if data.horizontal_flip else "no flip"

"""What the settings of a model stand for: the paper's names, and the range of its inputs."""

from dataclasses import replace
from pathlib import Path

import timm

from in21k.train.config.settings import Config, ModelConfig, RunConfig
from in21k.train.data.interfaces import TrainingData
from in21k.train.device.ranks import Ranks
from in21k.train.errors import TrainError
from in21k.train.model.architectures import find_architecture
from in21k.train.model.model_file import read_metadata
from in21k.train.model.normalization import AUTO, TIMM, UNIT
from in21k.train.stream.loader import default_workers


def resolve_model(config: ModelConfig) -> ModelConfig:
    """Return the settings of a model by timm's name, and with its range of inputs.

    A model from scratch takes inputs of 0 to 1. One that begins with weights takes them as these were trained: as timm
    states it for the name, or as a checkpoint of ours says of itself.

    Raises:
        TrainError: timm has no weights of the paper's architecture that have seen ImageNet-1K alone.
    """
    return _with_inputs(_with_timm_name(config))


def _with_timm_name(config: ModelConfig) -> ModelConfig:
    architecture = find_architecture(config.name)
    if architecture is None:
        return config
    if config.pretrained and not architecture.imagenet1k:
        others = timm.list_models(f"{architecture.timm}.*", pretrained=True)
        hint = f"; timm has others, to be named as --model: {', '.join(others)}" if others else ""
        raise TrainError(
            f"timm has no weights of {architecture.name} that have seen ImageNet-1K alone; pass --init FILE{hint}"
        )
    return replace(config, name=architecture.timm_weights if config.pretrained else architecture.timm)


def _with_inputs(config: ModelConfig) -> ModelConfig:
    if config.inputs != AUTO:
        return config
    if config.init:
        return replace(config, inputs=_inputs_of_file(Path(config.init)))
    return replace(config, inputs=TIMM if config.pretrained else UNIT)


def _inputs_of_file(path: Path) -> str:
    try:
        trained = read_metadata(path).config.model.inputs
    except TrainError:  # not ours
        return TIMM
    return UNIT if trained == AUTO else trained


def with_workers(run: RunConfig, ranks: Ranks) -> RunConfig:
    """Return the settings of a run with the number of loader processes; -1 takes as many as suit the CPUs."""
    return run if run.workers >= 0 else replace(run, workers=default_workers(ranks.local_world_size))


def resolved(config: Config, dataset: TrainingData, ranks: Ranks) -> Config:
    """Return a configuration in which no value stands for another one.

    It has timm's name of the model, the normalization of its inputs, the image size in pixels (0 takes the dataset's)
    and the number of loader processes.

    Raises:
        TrainError: neither the configuration nor the dataset says the size, or timm lacks the model's weights.
    """
    config = replace(config, model=resolve_model(config.model), run=with_workers(config.run, ranks))
    if config.data.image_size:
        return config
    if dataset.image_size is None:
        raise TrainError(f"{dataset.name} does not say how large its images are; name --image-size")
    return replace(config, data=replace(config.data, image_size=dataset.image_size))

"""What is seen to before a run starts or goes on: what it is resumed with, and what the user is told."""

from collections.abc import Iterator
from pathlib import Path

import torch

from in21k.train.config.settings import Config
from in21k.train.config.start import require_start
from in21k.train.data.interfaces import TrainingData
from in21k.train.device.ranks import Ranks
from in21k.train.errors import TrainError
from in21k.train.losses.schemes import DISTILLING
from in21k.train.model.architectures import find_architecture
from in21k.train.model.hub import INSTEAD_OF_TRANSFERRED, Wanted, fetch_on_ranks
from in21k.train.model.published import PublishedModel, wanted_of
from in21k.train.recipes.choice import Choice, resumed
from in21k.train.run.folder import Start, find_start, is_begun, require_new
from in21k.train.run.lock import RunLock
from in21k.train.run.resolve import require_model, resolved_name
from in21k.train.trainer.notes import tell_changed, tell_one_level, tell_unusable

_INSTEAD = "give a file of weights with --init FILE, start from random ones with --scratch"

Asked = Config | Choice
"""What to train with: a configuration, or a recipe with values of its own."""


def config_of(asked: Asked) -> Config:
    """Return the configuration that is asked for, before its names and defaults are resolved."""
    return asked.config if isinstance(asked, Choice) else asked


def recipe_of(asked: Asked) -> str:
    """Return the name of the recipe that is asked for; empty for a configuration."""
    return asked.recipe.name if isinstance(asked, Choice) else ""


def begun_or_named(asked: Asked, run: Path, ranks: Ranks, lock: RunLock, *, resume: bool) -> Asked:
    """Return what to train with: resuming a run, what it was started with, and stderr is told where the recipe changed.

    The run's lock is taken if its folder is there.

    Raises:
        TrainError: a new run's recipe starts from weights, and none are named; or there are no such weights or model,
            or they cannot be fetched; or the folder holds a run.
        DatasetError: the folder holds what another command wrote.
    """
    if ranks.is_first:
        lock.take_if_there()
    if not (resume and is_begun(run)):
        require_start(config_of(asked).model, recipe_of(asked))
        require_model(config_of(asked))
        require_new(run)
        fetch_on_ranks(list(_wanted(asked)), ranks)
        return asked
    if not isinstance(asked, Choice):
        return asked
    choice, changed = resumed(asked, run)
    tell_changed(run, changed, ranks)
    return choice


def _wanted(asked: Asked) -> Iterator[Wanted]:
    """Yield the weights of timm's that a new run needs."""
    config = config_of(asked)
    if config.model.pretrained:
        transfers = isinstance(asked, Choice) and bool(asked.checkpoint)
        yield Wanted(resolved_name(config.model), INSTEAD_OF_TRANSFERRED if transfers else _INSTEAD)
    teacher, file = config.distill.teacher, config.distill.teacher_weights
    is_named = bool(teacher) and (find_architecture(teacher) is not None or "/" not in teacher)
    is_published = is_named and not file and not Path(teacher).exists()
    if config.loss.scheme in DISTILLING and is_published:
        yield from wanted_of(PublishedModel(teacher, option="--teacher-weights"))


def agreed_start(run: Path, config: Config, dataset: TrainingData, ranks: Ranks, *, resume: bool) -> Start:
    """Return where a run starts, the same on all ranks, and tell the user what to know of it; every rank must call it.

    Args:
        run: the run's folder.
        config: the resolved configuration.
        dataset: to train on.
        ranks: this rank among the others.
        resume: as for `find_start`.

    Raises:
        DatasetError: as `find_start`.
        TrainError: likewise, or the ranks find different checkpoints.
    """
    start = find_start(run, config, dataset, resume=resume)
    _check_same(start, ranks)
    tell_unusable(start, ranks)
    tell_one_level(config, dataset, ranks)
    return start


def _check_same(start: Start, ranks: Ranks) -> None:
    steps = ranks.sum(torch.tensor([start.step], dtype=torch.int64, device=ranks.device))
    if int(steps) != start.step * ranks.world_size:
        raise TrainError("the ranks find different checkpoints; --output must be on a file system that all ranks share")

"""What a command refuses before seconds go by in imports: data, checkpoints and models that there are not."""

from pathlib import Path

from in21k.shards_manifest.storage.local_files import is_missing
from in21k.train.errors import TrainError, no_checkpoint
from in21k.train.model.architectures import TIMM_PREFIX, find_architecture, is_published
from in21k.train.model.timm_names import require_architecture, timm_models


def check_data(*paths: str) -> None:
    """Refuse data that are not there; a URI and a pattern are looked at when they are opened.

    Raises:
        TrainError: there is nothing at a path.
    """
    for path in paths:
        if is_missing(path):
            raise TrainError(f"{path}: there is no such file or folder")


def check_there(checkpoint: Path) -> None:
    """Refuse a checkpoint whose path does not exist.

    Raises:
        TrainError: there is nothing at the path.
    """
    if not checkpoint.exists():
        raise no_checkpoint(checkpoint)


def _refuse_bare_name(checkpoint: str) -> None:
    """Refuse a checkpoint that is the bare name of a model, where timm's weights are named otherwise.

    Raises:
        TrainError: there is such a model, and nothing at a path of that name.
    """
    named = find_architecture(checkpoint)
    if (named is None and checkpoint.partition(".")[0] not in timm_models()) or Path(checkpoint).exists():
        return
    weights = checkpoint if named is None else named.authors or named.timm_weights
    raise TrainError(f"{checkpoint}: there is no checkpoint of that name; for timm's weights give timm:{weights}")


def check_named(*data: str, checkpoint: str = "", model: str = "", takes_timm: bool = False) -> None:
    """Refuse data, a checkpoint or a model that there is not; an empty text is none.

    Args:
        data: paths, patterns or URIs.
        checkpoint: a path, timm:NAME, or a name of the paper's.
        model: timm's name, or the paper's.
        takes_timm: whether the checkpoint may be timm:NAME, which a model's bare name is answered with.

    Raises:
        TrainError: there is none of that name.
    """
    require_architecture(model)
    if takes_timm:
        _refuse_bare_name(checkpoint)
    if checkpoint.startswith(TIMM_PREFIX):
        require_architecture(checkpoint.removeprefix(TIMM_PREFIX), TIMM_PREFIX)
    elif checkpoint and not is_published(checkpoint):
        check_there(Path(checkpoint))
    check_data(*data)

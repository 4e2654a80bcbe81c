"""timm's weights on the hub: fetched ahead, by one rank of a machine, and one line where the hub cannot be reached.

Left to itself, `huggingface_hub` tries for most of a minute to reach a hub that is not there, for each file that timm
looks for and on each rank, with a line per try. So one short request comes first, where the weights are not in the
cache yet. What breaks off in the midst of a download is still retried by `huggingface_hub`.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import timm
import torch
from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url, try_to_load_from_cache
from huggingface_hub.errors import HfHubHTTPError

from in21k.shards_manifest.errors import one_line
from in21k.train.device.ranks import Ranks
from in21k.train.errors import ToldElsewhereError, TrainError

_TRIES = 2
_PAUSE = 1.0
"""Seconds from one try to reach the hub to the next."""

_LEAVE_SECONDS = 2.0
"""How long a rank stays whose fault another one tells: torchrun ends all ranks when the first one leaves."""

_CANNOT = "cannot be fetched from"

_WEIGHTS = "pytorch_model.bin"
"""What timm looks for where it has no other name, if there is no safetensors file."""

INSTEAD_OF_TRANSFERRED = "give their file with --checkpoint FILE --model NAME"
"""What a command takes instead that reads a file of weights as a checkpoint."""


@dataclass(frozen=True)
class Wanted:
    """Weights that a command needs from the hub."""

    name: str
    """timm's, with the tag of the weights."""
    instead: str = ""
    """What else the command takes, such as `give their file with --init FILE`; empty for nothing."""


def fetch_on_ranks(wanted: Sequence[Wanted], ranks: Ranks) -> None:
    """Have weights in the hub's cache of each machine, which its first rank fetches; every rank must call it.

    Raises:
        TrainError: as `fetch`, on the first rank that failed.
        ToldElsewhereError: so it is, on the other ranks.
    """
    if not wanted:
        return
    fault: TrainError | None = None
    try:
        for each in wanted if ranks.rank % ranks.local_world_size == 0 else ():
            fetch(each)
    except TrainError as error:
        fault = error
    failed = torch.zeros(ranks.world_size, dtype=torch.int64, device=ranks.device)
    failed[ranks.rank] = fault is not None
    told_by = [rank for rank, one in enumerate(ranks.sum(failed).tolist()) if one]
    if not told_by:
        return
    if fault is not None and told_by[0] == ranks.rank:
        raise fault
    time.sleep(_LEAVE_SECONDS)
    raise ToldElsewhereError


def fetch(wanted: Wanted) -> None:
    """Have weights in the hub's cache; nothing is done for those that are there, or that timm takes from elsewhere.

    Raises:
        TrainError: the hub cannot be reached, has no such weights, or breaks off.
    """
    place, file = _place_of(wanted.name)
    repository, _, revision = place.partition("@")
    if not place or any(_is_cached(repository, each, revision) for each in _alternatives(file)):
        return
    if constants.HF_HUB_OFFLINE:
        raise _not_fetched(wanted, repository, f"are not in {constants.HF_HUB_CACHE}, and HF_HUB_OFFLINE is set")
    _reach(wanted, repository, file, revision)
    try:
        timm.models.load_state_dict_from_hf(place, file)
    except Exception as error:  # of several HTTP libraries, by huggingface_hub's version
        raise _not_fetched(wanted, repository, f"{_CANNOT} {constants.ENDPOINT}: {one_line(error)}") from error


def _place_of(name: str) -> tuple[str, str]:
    """Return where on the hub timm's weights of a name are, and as which file; empty where they are not there."""
    try:
        known = timm.models.get_pretrained_cfg(name)
    except RuntimeError:  # there are none of that tag, as whoever builds the model says
        return "", ""
    if known is None or known.file or known.state_dict or (known.custom_load and known.hf_hub_filename):
        return "", ""
    return known.hf_hub_id or "", known.hf_hub_filename or _WEIGHTS


def _reach(wanted: Wanted, repository: str, file: str, revision: str) -> None:
    """Ask the hub for a file's size, with a short timeout: any answer of a hub will do.

    Raises:
        TrainError: nobody answers, or who does is no hub.
    """
    url = hf_hub_url(repository, file, revision=revision or None)
    for left in reversed(range(_TRIES)):
        try:
            found = get_hf_file_metadata(url, timeout=constants.HF_HUB_ETAG_TIMEOUT)
        except HfHubHTTPError:  # the file has another name, or the hub wants a token: timm and the download say it
            return
        except Exception as error:  # of several HTTP libraries, by huggingface_hub's version
            if left and not _is_timeout(error):
                time.sleep(_PAUSE)
                continue
            raise _not_fetched(wanted, repository, f"{_CANNOT} {constants.ENDPOINT}: {one_line(error)}") from error
        if found.commit_hash is None:
            raise _not_fetched(wanted, repository, f"{_CANNOT} {constants.ENDPOINT}: what answers there is no hub")
        return


def _is_timeout(error: Exception) -> bool:
    return "timeout" in type(error).__name__.lower()


def _is_cached(repository: str, file: str, revision: str) -> bool:
    return isinstance(try_to_load_from_cache(repository, file, revision=revision or None), str)


def _alternatives(file: str) -> set[str]:
    """Return the names under which timm finds a file of weights in the cache."""
    stem = file.rpartition(".")[0]
    return {file, f"{stem}.safetensors", *(("model.safetensors",) if file == _WEIGHTS else ())}


def _not_fetched(wanted: Wanted, repository: str, why: str) -> TrainError:
    instead = f"{wanted.instead}, or " if wanted.instead else ""
    return TrainError(
        f"timm's weights {wanted.name} {why}; {instead}fetch them where there is a network with "
        f"`hf download {repository}` and take the cache along (docs/faq.md)"
    )

"""The share of data that was held out for validation, and whether a model that held out another one learned from it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from in21k.train.data.fraction import whole_of, with_fraction
from in21k.train.data.interfaces import TrainingData
from in21k.train.data.open_data import DataRequest
from in21k.train.data.open_datasets.listed import ListedDataset
from in21k.train.errors import TrainError

Opened = TypeVar("Opened", bound=TrainingData)


def share_held_out(data: TrainingData) -> float:
    """Return the share of the images that was held out, 0 to 1; 0 where the data have a val split of their own."""
    whole = whole_of(data)
    return whole.val_share if isinstance(whole, ListedDataset) else 0.0


def left_out_of(data: TrainingData) -> str:
    """Return which files among the images are in no form that is read, in words; empty if there are none."""
    whole = whole_of(data)
    return whole.left_out if isinstance(whole, ListedDataset) else ""


@dataclass(frozen=True)
class TrainedOn:
    """What a run says of its data."""

    run: Path
    path: str
    """Of the data, as it was given."""
    digest: str
    """Theirs, with all that was taken of them."""
    class_list_sha256: str
    fraction: float
    """Of the training images that it took."""
    val_share: float
    """0 where none was held out, and where an older run does not say it."""

    def is_at(self, path: str) -> bool:
        """Return whether a path is that of the data."""
        return "://" not in path and Path(path).resolve() == Path(self.path).resolve()

    def is_of(self, data: TrainingData, path: str) -> bool:
        """Return whether data are the run's: they lie where it read them, or are the same images elsewhere."""
        return self.is_at(path) or self._digest_of(data) == self.digest

    def warning(self, data: TrainingData, path: str) -> str:
        """Return a note where a share is held out of the run's data that is not of the images it had; else nothing."""
        is_its_own = self.is_at(path) and data.class_list_sha256 == self.class_list_sha256
        if not (is_its_own and share_held_out(data)) or self._digest_of(data) == self.digest:
            return ""
        return (
            f"note: {path} is not split as it was when {self.run} was trained on it: images came or went, or another "
            "share was held out; some val images may be ones that it learned from"
        )

    def _digest_of(self, data: TrainingData) -> str:
        return with_fraction(data, self.fraction).digest


def open_held_out(
    open_data: Callable[[DataRequest], Opened], request: DataRequest, trained: TrainedOn | None
) -> Opened:
    """Return data to evaluate a run on, with the share held out that it held out itself, where no share is given.

    Args:
        open_data: opens a request.
        request: what the user asks for.
        trained: what the run says; None where there is none.

    Raises:
        DatasetError: as `open_data`.
        TrainError: the share that is given holds out images that the run was trained on.
    """
    if trained is None or trained.val_share in (0, request.val_share):
        return open_data(request)
    own = replace(request, val_share=trained.val_share)
    if not request.val_share:
        return _as_it_is_or(open_data, request, own, trained)
    data = open_data(request)
    _require_unlearned(data, _tried(open_data, own), request, trained)
    return data


def _as_it_is_or(
    open_data: Callable[[DataRequest], Opened], request: DataRequest, own: DataRequest, trained: TrainedOn
) -> Opened:
    """Return data as they are asked for; where they have no val split, with the run's share if they are its data."""
    try:
        return open_data(request)
    except TrainError:
        data = _tried(open_data, own)
        if data is None or not trained.is_of(data, request.path):
            raise
        return data


def _tried(open_data: Callable[[DataRequest], Opened], request: DataRequest) -> Opened | None:
    """Return data, None where a request does not fit them."""
    try:
        return open_data(request)
    except TrainError:
        return None


def _require_unlearned(data: TrainingData, own: TrainingData | None, request: DataRequest, trained: TrainedOn) -> None:
    """Refuse val images that are among those which the run's own share left for training."""
    if own is None or not trained.is_of(own, request.path):
        return
    val = data.listing("val").keys.to_pylist()
    if learned := len(set(val) & set(own.listing("train").keys.to_pylist())):
        raise TrainError(
            f"--val-share {request.val_share:g}: {trained.run} was trained on {learned:,} of these {len(val):,} val "
            f"images of {request.path}, because it held out {trained.val_share:g}; give --val-share "
            f"{trained.val_share:g}, or leave it out"
        )


def held_out_text(data: TrainingData, request: DataRequest, trained: TrainedOn | None) -> str:
    """Return what a header adds about val images where the run's share is held out, and none was given."""
    share = share_held_out(data)
    return f"; --val-share {share:g}, as in {trained.run}" if trained and share and not request.val_share else ""

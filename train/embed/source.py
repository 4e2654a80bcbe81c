"""What is embedded: the splits of a dataset, or image files without labels."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from in21k.train.arrays import IntArray
from in21k.train.config.settings import Config
from in21k.train.data.held_out import left_out_of
from in21k.train.data.interfaces import Decoding, TrainingData
from in21k.train.data.open_data import AUTO, DataRequest, open_data, recognized, require_apart
from in21k.train.data.open_datasets.image_files import is_image_name
from in21k.train.data.open_datasets.image_folder import TRAIN
from in21k.train.data.prepared.dataset import Dataset
from in21k.train.errors import TrainError
from in21k.train.stream.source import StreamSource, plain_source, read_options
from in21k.train.use.image_files import ImageFiles, found_images

FILES = "files"
"""The layout of image files without labels."""

ALL = "all"
"""Every split of the data."""


class PathsOfImages(Protocol):
    """Knows the file that holds each image."""

    def paths(self, numbers: IntArray) -> list[str | None]:
        """Return the file of each of these samples."""


@dataclass(frozen=True)
class Piece:
    """A split, or all image files where there are no splits."""

    split: str | None
    """None where there are no splits."""
    images: int
    source: StreamSource
    where: PathsOfImages


@dataclass(frozen=True, eq=False)
class EmbeddingSource:
    """Images in a fixed order, and their labels."""

    name: str
    digest: str
    """Of the list of images with their labels, or of a prepared dataset's manifest."""
    pieces: tuple[Piece, ...]
    data: TrainingData | None
    """None for image files."""
    caching: AbstractContextManager[None]
    """The context within which the images may be read."""
    left_out: str = ""
    """Which files among the images are in no form that is read, in words; empty if there are none."""

    @property
    def is_single_label(self) -> bool:
        """Whether an image has one label at most."""
        return self.data is None or self.data.is_single_label

    def labels(self, label_ids: Sequence[int]) -> Iterator[list[int]]:
        """Yield the class indices of each image, given its row in the label sets; none for image files."""
        if self.data is None:
            yield from ([] for _ in label_ids)
        elif self.data.is_single_label:
            yield from ([each] for each in label_ids)
        else:
            yield from ([at for at in self.data.label_sets[each].tolist() if at >= 0] for each in label_ids)

    @property
    def class_names(self) -> Sequence[str]:
        """The labels in order of class index: wnids, or names."""
        return () if self.data is None else self.data.hierarchy.wnids


@dataclass(frozen=True)
class SourceRequest:
    """What a user asks to embed."""

    paths: tuple[str, ...]
    data: DataRequest
    """How to read the only path, if that names a dataset."""
    listed: Iterable[Path] = ()
    """More image files."""
    is_listed: bool = False
    """Whether there is such a list."""
    split: str = ALL


def open_source(request: SourceRequest, config: Config, size: int, output: Path) -> EmbeddingSource:
    """Return the images that a user asks to embed.

    Args:
        request: what is asked for.
        config: how images are read.
        size: side of the images in pixels.
        output: the folder of the embeddings, which may not lie among the images of a dataset, nor be a folder of them.

    Raises:
        DatasetError: they are missing or damaged, or the split has no images.
    """
    if are_files(request):
        require_other_folder(request.paths, output)
        return _of_files(request, config, size)
    data = open_data(request.data)
    if not isinstance(data, Dataset):  # a prepared dataset is a place that markers guard
        require_apart(request.data.path, output)
    return _of_data(data, request, config, size)


def are_files(request: SourceRequest) -> bool:
    """Return whether image files are asked for: several, or what has no layout but that of files.

    A folder of folders counts as image files unless it has a folder `train` or a share is held out.
    """
    asked = request.data
    if asked.layout != AUTO:
        if asked.layout != FILES and (len(request.paths) != 1 or request.is_listed):
            raise TrainError(f"--layout {asked.layout} is that of one dataset; name one SOURCE, without --images-from")
        return asked.layout == FILES
    if len(request.paths) != 1 or request.is_listed:
        return True
    path = Path(asked.path)
    if path.is_file() and is_image_name(path.name):
        return True
    found = recognized(asked)
    return path.is_dir() and (not found or (found == "imagefolder" and not asked.val_share and not _splits(path)))


def _splits(path: Path) -> bool:
    return (path / TRAIN).is_dir()


def _of_files(request: SourceRequest, config: Config, size: int) -> EmbeddingSource:
    asked = request.data
    for option in ("annotations", "val", "images", "val_share"):
        if getattr(asked, option):
            raise TrainError(f"image files have no use for --{option.replace('_', '-')}; leave it out")
    if request.split != ALL:
        raise TrainError(f"image files have no split {request.split}; leave --split out")
    if remote := next((path for path in request.paths if "://" in path), None):
        raise TrainError(f"{remote}: image files are read from this machine only, not from a URI; give local ones")
    files = found_images(map(Path, request.paths), request.listed)
    _require_there(files, request)
    decoding = Decoding(image_size=size, wild=True, interpolation=config.data.interpolation, strict=config.data.strict)
    name = request.paths[0] if len(request.paths) == 1 and not request.is_listed else f"{len(files):,} image files"
    piece = Piece(None, len(files), StreamSource(files, decoding, names_samples=True), files)
    return EmbeddingSource(name, files.digest, (piece,), None, nullcontext(), files.left_out)


def require_other_folder(paths: Iterable[str], output: Path) -> None:
    """Refuse to write into a folder of images itself, which would become one of embeddings.

    Raises:
        TrainError: the output is one of the paths.
    """
    for path in paths:
        if output.is_dir() and Path(path).is_dir() and output.samefile(path):
            raise TrainError(f"--output {output} is a folder of the images; give another --output")


def _require_there(files: ImageFiles, request: SourceRequest) -> None:
    """Refuse a single path that leads nowhere, of which a table would have one row that says so."""
    if len(files) == 1 and not request.is_listed and not files[0].exists():
        raise TrainError(f"{files[0]}: there is no such file or folder")


def _of_data(data: TrainingData, request: SourceRequest, config: Config, size: int) -> EmbeddingSource:
    wanted = ("train", "val") if request.split == ALL else (request.split,)
    splits = [split for split in wanted if data.samples(split)]
    if not splits:
        raise TrainError(f"{data.name} has no {' or '.join(wanted)} images; give another --split")
    if data.decoding(1).is_video:
        raise TrainError(f"{data.name} holds videos, which are not embedded; give images, such as frames of them")
    sized = replace(config, data=replace(config.data, image_size=size))
    pieces = tuple(
        Piece(
            split,
            data.samples(split),
            replace(plain_source(data, split, sized), names_samples=True),
            data.reader(split),
        )
        for split in splits
    )
    caching = data.cached(read_options(config.data))
    return EmbeddingSource(data.name, data.digest, pieces, data, caching, left_out_of(data))

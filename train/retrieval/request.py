"""What a user asks to retrieve from: what has to be embedded for it, and what can be refused before that."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from in21k.train.config.settings import Config
from in21k.train.data.open_data import AUTO as ANY_LAYOUT
from in21k.train.data.open_data import SHARDS, DataRequest, open_data, recognized, require_apart
from in21k.train.embed.reader import holds_embeddings, require_complete
from in21k.train.embed.source import ALL, SourceRequest, are_files, require_other_folder
from in21k.train.errors import TrainError
from in21k.train.retrieval.group_list import is_group_list, read_group_list
from in21k.train.retrieval.relevance import (
    AUTO,
    CLASSES,
    GALLERIES,
    HOLIDAYS,
    are_holidays,
    by_names,
    no_relevance,
    several_classes,
)
from in21k.train.retrieval.sheet import WORST
from in21k.train.use.image_files import found_images


@dataclass(frozen=True)
class RetrievalRequest:
    """What to retrieve from, and how."""

    data: DataRequest
    """Images of any kind, a CSV of paths and groups, or a folder of embeddings."""
    checkpoint: str = ""
    """As for `embed`; empty for embeddings."""
    model: str = ""
    """As for `embed`."""
    batch_size: int = 64
    relevance: str = AUTO
    """The rule, as for `relevance_of`."""
    gallery: str = ""
    """As for `relevance_of`."""
    sheet: int = 50
    """Queries that the sheet shows; 0 for no sheet."""
    sheet_order: str = WORST
    faiss: bool = False
    """Whether FAISS proposes."""

    def asked(self) -> dict[str, Any]:
        """Return what is recorded."""
        names = ("checkpoint", "model", "relevance", "gallery", "sheet", "sheet_order", "faiss")
        return {"source": self.data.path, **{name: getattr(self, name) for name in names}}


def rule_of(request: RetrievalRequest) -> str:
    """Return the rule of relevance that a request names, or that a CSV of groups is; else auto."""
    return request.data.path if _is_list(request) else request.relevance


def plan(request: RetrievalRequest, config: Config, output: Path) -> SourceRequest | None:
    """Return what to embed, None where the source is embeddings; whatever can be refused before is refused.

    Args:
        request: what is asked for.
        config: how images are read.
        output: the folder of the results, which may not lie among the images of a dataset.

    Raises:
        DatasetError: the source is not usable, options contradict it, or nothing says what is relevant.
    """
    path = Path(request.data.path)
    if request.relevance not in (AUTO, HOLIDAYS, CLASSES):
        read_group_list(Path(request.relevance))
    if holds_embeddings(path):
        if (
            request.checkpoint
            or request.model
            or request.data != DataRequest(request.data.path)
            or config.data != Config().data
        ):
            raise TrainError(
                f"{path} holds embeddings: no --checkpoint and no option of images serves there; leave it out"
            )
        require_complete(path)
        return None
    if not request.checkpoint:
        raise TrainError(f"{path} holds no embeddings; give the --checkpoint to embed its images with")
    if _is_list(request):
        return _listed(request)
    source = SourceRequest((request.data.path,), request.data)
    if not are_files(source):
        return _dataset(request, source, output)
    require_other_folder(source.paths, output)
    return _files(request, source)


def _is_list(request: RetrievalRequest) -> bool:
    return request.data.layout == ANY_LAYOUT and is_group_list(Path(request.data.path))


def _listed(request: RetrievalRequest) -> SourceRequest:
    if request.relevance != AUTO:
        raise TrainError(f"{request.data.path} says which images are relevant; leave --relevance out")
    listed = read_group_list(Path(request.data.path), request.data.images)
    return SourceRequest((), replace(request.data, path="", images=""), listed.files, is_listed=True)


def _files(request: RetrievalRequest, source: SourceRequest) -> SourceRequest:
    """Return image files, once their names are known to say what is relevant, unless a CSV does."""
    path = request.data.path
    if request.relevance == CLASSES:
        raise TrainError(f"{path}: image files have no classes; give --layout imagefolder, or another --relevance")
    if request.relevance in (AUTO, HOLIDAYS):
        names = [str(each) for each in found_images([Path(path)])]
        if request.relevance == AUTO and not are_holidays(names):
            raise no_relevance(path)
        by_names(names, path)
    return source


def _dataset(request: RetrievalRequest, source: SourceRequest, output: Path) -> SourceRequest:
    """Return a dataset, once it is known to have classes and queries where relevance goes by them."""
    if recognized(request.data) != SHARDS:
        require_apart(request.data.path, output)
    if request.relevance not in (AUTO, CLASSES):
        return source
    data = open_data(request.data)
    if not data.is_single_label:
        raise several_classes(data.name)
    if not data.samples("val"):
        raise TrainError(
            f"{data.name} has no val images, which are the queries; give --val-share, or another --relevance"
        )
    return replace(source, split="val" if request.gallery in ("", GALLERIES[0]) else ALL)

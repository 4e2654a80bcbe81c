"""Retrieval from the images of a source, or from their embeddings: ranked, scored, and written to a folder."""

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from in21k.train.arrays import IntArray
from in21k.train.config.settings import Config
from in21k.train.data.open_data import DataRequest
from in21k.train.device.ranks import join_ranks
from in21k.train.embed.embed import embed
from in21k.train.embed.reader import Embeddings, holds_embeddings, read_embeddings, require_complete
from in21k.train.embed.request import EmbeddingRequest
from in21k.train.embed.source import ALL, SourceRequest, are_files, open_source
from in21k.train.errors import TrainError
from in21k.train.neighbors.vectors import vectors
from in21k.train.retrieval.faiss_search import Guide, require_faiss
from in21k.train.retrieval.folder import (
    FAULTS,
    QUERIES,
    VECTORS,
    begin,
    faults_table,
    queries_table,
    require_retrieval_place,
    write_results,
)
from in21k.train.retrieval.group_list import is_group_list, read_group_list
from in21k.train.retrieval.pictures import FilePictures, Pictures, SourcePictures
from in21k.train.retrieval.ranking import Search, answers
from in21k.train.retrieval.relevance import AUTO, CLASSES, GALLERIES, HOLIDAYS, Relevance, relevance_of
from in21k.train.retrieval.scores import BEST, KS, QueryScores
from in21k.train.retrieval.sheet import WORST, Shown, chosen_queries, sheet
from in21k.train.run.lock import run_lock


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


def retrieve(request: RetrievalRequest, output: Path, config: Config, *, resume: bool = False) -> dict[str, Any]:
    """Rank the gallery for every query, write the results into a folder, and return the summary.

    The folder gets retrieve.json, embeddings/ (unless the source is embeddings), queries.parquet, faults.parquet,
    sheet.html and, last, retrieval.json.

    Args:
        request: what to retrieve from, and how.
        output: the folder.
        config: how images are read, and what computes.
        resume: go on with what was begun in the folder: its embeddings are kept, the results are made anew.

    Raises:
        DatasetError: the source, the checkpoint or the folder is not usable, or nothing says what is relevant.
    """
    began = time.perf_counter()
    if request.faiss:
        require_faiss()
    with join_ranks(config.run.device) as ranks:
        device = ranks.device
        if ranks.world_size > 1:
            raise TrainError("retrieve runs on one rank; embed on several, and retrieve from that folder on one")
    with run_lock(output) as lock:
        require_retrieval_place(output, resume=resume)
        source, rule = plan(request)
        lock.take()
        require_retrieval_place(output, resume=resume)
        begin(output, request.asked())
        folder = Path(request.data.path) if source is None else output / VECTORS
        if source is not None:
            embed(_embedding(request, source), folder, config, resume=resume)
        images = read_embeddings(folder)
        found = _retrieved(images, relevance_of(rule, images, request.gallery), device, faiss=request.faiss)
        summary = {**_summary(request, found), "seconds": round(time.perf_counter() - began, 2)}
        page = _page(request, found, summary, source, config, output) if request.sheet else ""
        write_results(output, _tables(found), page, summary)
    if source is None and summary["faults"]:
        print(f"note: {output}: {summary['faults']} images do not decode; {FAULTS} says why", file=sys.stderr)
    return {"output": str(output), **summary}


def plan(request: RetrievalRequest) -> tuple[SourceRequest | None, str]:
    """Return what to embed, None where the source is embeddings, and the rule of relevance.

    Raises:
        TrainError: options contradict the source, or a CSV is not usable.
    """
    path, rule = Path(request.data.path), request.relevance
    if rule not in (AUTO, HOLIDAYS, CLASSES):
        read_group_list(Path(rule))
    if holds_embeddings(path):
        if request.checkpoint or request.model or request.data != DataRequest(request.data.path):
            raise TrainError(
                f"{path} holds embeddings, which need no --checkpoint and no options of images; leave them out"
            )
        require_complete(path)
        return None, rule
    if not request.checkpoint:
        raise TrainError(f"{path} holds no embeddings; give the --checkpoint to embed its images with")
    if request.data.layout == AUTO and is_group_list(path):
        if rule != AUTO:
            raise TrainError(f"{path} says which images are relevant; leave --relevance out")
        listed = read_group_list(path, request.data.images)
        return SourceRequest((), replace(request.data, path="", images=""), listed.files, is_listed=True), str(path)
    source = SourceRequest((request.data.path,), request.data)
    if not are_files(source):
        rule = CLASSES if rule == AUTO else rule
    elif rule == CLASSES:
        raise TrainError(f"{path}: image files have no classes; give --layout imagefolder, or another --relevance")
    return replace(source, split="val" if rule == CLASSES and request.gallery in ("", "val") else ALL), rule


def _embedding(request: RetrievalRequest, source: SourceRequest) -> EmbeddingRequest:
    return EmbeddingRequest(
        source=source,
        checkpoint=request.checkpoint,
        model=request.model,
        dtype="float32",
        batch_size=request.batch_size,
    )


@dataclass(frozen=True, eq=False)
class _Retrieved:
    """What was found."""

    images: Embeddings
    relevance: Relevance
    queries: IntArray
    """int64 [Q], images: the queries that decode."""
    gallery: IntArray
    """int64 [G], images: the gallery's that decode."""
    scores: QueryScores
    guided: int | None
    """How many queries FAISS answered; None without it."""


def _retrieved(images: Embeddings, relevance: Relevance, device: torch.device, *, faiss: bool) -> _Retrieved:
    decodes = images.images["fault"].is_null().to_numpy()
    queries, gallery = (np.flatnonzero(each & decodes) for each in (relevance.is_query, relevance.is_gallery))
    whole, own = vectors(torch.from_numpy(images.vectors), images.name), np.full(len(images), -1)
    own[gallery] = np.arange(len(gallery))
    search = Search(
        queries=whole.chosen(torch.from_numpy(queries)),
        gallery=whole.chosen(torch.from_numpy(gallery)),
        query_groups=relevance.groups[queries],
        gallery_groups=relevance.groups[gallery],
        own=own[queries],
    )
    scores, left, guided = QueryScores.empty(len(queries)), np.arange(len(queries)), None
    if faiss and len(gallery):
        proven, left = Guide(search).answers(BEST)
        guided = len(proven)
        for each in proven:
            scores.add(each)
    for each in answers(search, left, BEST, device):
        scores.add(each)
    if not scores.is_scored.any():
        raise TrainError(f"{images.name}: none of the {len(queries)} queries has a relevant image in the gallery")
    return _Retrieved(images, relevance, queries, gallery, scores, guided)


def _summary(request: RetrievalRequest, found: _Retrieved) -> dict[str, Any]:
    record, asked = found.images.record, int(found.relevance.is_query.sum())
    scored = int(found.scores.is_scored.sum())
    return {
        "source": request.data.path,
        "model": record["model"]["name"],
        "weights_sha256": record["model"]["weights_sha256"],
        "image_size": record["model"]["image_size"],
        "layer": record["layer"],
        "dimensions": record["dimensions"],
        "relevance": found.relevance.rule,
        **({"gallery": request.gallery or GALLERIES[0]} if found.relevance.rule == CLASSES else {}),
        "images": len(found.images),
        "faults": int(record["faults"]),
        "queries": scored,
        "queries_without_relevant": len(found.queries) - scored,
        "queries_damaged": asked - len(found.queries),
        "gallery_images": len(found.gallery),
        "gallery_damaged": int(found.relevance.is_gallery.sum()) - len(found.gallery),
        **found.scores.summary(),
        "search": "exact, in blocks"
        if found.guided is None
        else "exact, proposed by FAISS where proven, else in blocks",
        **({} if found.guided is None else {"faiss_queries": found.guided}),
    }


def _tables(found: _Retrieved) -> dict[str, pa.Table]:
    tables = {QUERIES: queries_table(found.images, found.relevance, found.queries, found.gallery, found.scores)}
    if found.images.images["fault"].null_count < len(found.images):
        tables[FAULTS] = faults_table(found.images)
    return tables


def _page(
    request: RetrievalRequest,
    found: _Retrieved,
    summary: Mapping[str, Any],
    source: SourceRequest | None,
    config: Config,
    output: Path,
) -> str:
    shown = Shown(
        queries=found.queries,
        gallery=found.gallery,
        groups=found.relevance.groups,
        names=found.relevance.names,
        keys=found.images.images["key"],
        scores=found.scores,
    )
    pictures: Pictures = FilePictures(found.images)
    if source is not None:
        pictures = SourcePictures(
            open_source(source, config, found.images.record["model"]["image_size"], output / VECTORS)
        )
    chosen = chosen_queries(found.scores, request.sheet, request.sheet_order)
    how = "those of the least average precision" if request.sheet_order == WORST else "evenly chosen"
    recalls = ", ".join(f"recall at {k} {summary[f'recall_at_{k}']:.3f}" for k in KS)
    about = f"{summary['queries']} queries and a gallery of {summary['gallery_images']}"
    notes = (
        f"{summary['model']}: mAP {summary['map']:.3f}, {recalls}, over {about}.",
        f"{len(chosen)} queries, {how}, the worst first. ✓ and green are relevant, ✗ and red are not.",
    )
    return sheet(f"Retrieval from {request.data.path}", notes, shown, chosen, pictures)

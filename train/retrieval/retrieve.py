"""Retrieval from the images of a source, or from their embeddings: ranked, scored, and written to a folder."""

import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from in21k.shards_manifest.command.progress import Progress
from in21k.train.arrays import IntArray
from in21k.train.config.settings import Config
from in21k.train.device.ranks import join_ranks
from in21k.train.embed.embed import embed
from in21k.train.embed.reader import Embeddings, read_embeddings
from in21k.train.embed.request import EmbeddingRequest
from in21k.train.embed.source import SourceRequest, open_source
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
from in21k.train.retrieval.pictures import FilePictures, Pictures, SourcePictures
from in21k.train.retrieval.ranking import Search, answers
from in21k.train.retrieval.relevance import CLASSES, GALLERIES, Relevance, relevance_of
from in21k.train.retrieval.request import RetrievalRequest, plan, rule_of
from in21k.train.retrieval.scores import BEST, KS, QueryScores
from in21k.train.retrieval.sheet import WORST, Shown, chosen_queries, sheet
from in21k.train.run.lock import run_lock
from in21k.tree.class_names import edge_class_names


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
        source = plan(request, config, output)
        lock.take()
        require_retrieval_place(output, resume=resume)
        begin(output, request.asked())
        folder = Path(request.data.path) if source is None else output / VECTORS
        if source is not None:
            embed(_embedding(request, source), folder, config, resume=resume)
        images = read_embeddings(folder)
        found = _retrieved(images, relevance_of(rule_of(request), images, request.gallery), device, faiss=request.faiss)
        summary = {**_summary(request, found), "seconds": round(time.perf_counter() - began, 2)}
        page = _page(request, found, summary, source, config, output) if request.sheet else ""
        write_results(output, request.asked(), _tables(found), page, summary)
    if source is None and summary["faults"]:
        print(f"note: {output}: {summary['faults']} images do not decode; {FAULTS} says why", file=sys.stderr)
    return {"output": str(output), **summary}


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
    with Progress("rank", "query", len(left)) as bar:
        for each in answers(search, left, BEST, device):
            scores.add(each)
            bar.update(len(each.queries))
    if not scores.is_scored.any():
        asked, faults = int(relevance.is_query.sum()), int((~decodes).sum())
        damaged = f"; {faults} of {len(images)} images do not decode" if faults else ""
        raise TrainError(f"{images.name}: none of the {asked} queries has a relevant image in the gallery{damaged}")
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
    pictures: Pictures = FilePictures(found.images)
    if source is not None:
        pictures = SourcePictures(
            open_source(source, config, found.images.record["model"]["image_size"], output / VECTORS)
        )
    shown = Shown(
        queries=found.queries,
        gallery=found.gallery,
        groups=found.relevance.groups,
        names=found.relevance.names,
        titles=_titles(found.relevance, pictures),
        keys=found.images.images["key"],
        scores=found.scores,
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


def _titles(relevance: Relevance, pictures: Pictures) -> Sequence[str]:
    """Return what the sheet calls the groups where they are classes: names instead of wnids; empty for other groups."""
    if relevance.rule != CLASSES:
        return ()
    data = pictures.source.data if isinstance(pictures, SourcePictures) else None
    if data is None:  # embeddings, which have wnids alone
        names = dict(zip(relevance.names, edge_class_names(relevance.names, {}, "").names, strict=True))
    else:
        table = data.hierarchy_table()
        names = dict(zip(table["wnid"].to_pylist(), table["name"].to_pylist(), strict=True))
    times = Counter(names.values())
    return [name if times[name := names[each]] == 1 else f"{name} ({each})" for each in relevance.names]

"""The folder of a retrieval: who may write there, and its files."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from in21k.shards_manifest.errors import errors_naming
from in21k.shards_manifest.markers import EMBEDDINGS_BEGUN, RETRIEVAL, RETRIEVAL_BEGUN, FolderKind, require_place_for
from in21k.shards_manifest.storage.local_files import (
    atomic_path,
    remove_temporaries,
    require_regular,
    write_atomic,
)
from in21k.shards_manifest.storage.location import locate
from in21k.train.arrays import IntArray
from in21k.train.embed.reader import Embeddings
from in21k.train.errors import TrainError
from in21k.train.retrieval.relevance import Relevance
from in21k.train.retrieval.scores import BEST, QueryScores

QUERIES, FAULTS, SHEET = "queries.parquet", "faults.parquet", "sheet.html"
_RESULTS = (RETRIEVAL, QUERIES, FAULTS, SHEET)
VECTORS = "embeddings"
"""The folder within, where the command embeds the images itself."""

FORMAT_VERSION = 1


def require_retrieval_place(folder: Path, *, resume: bool) -> None:
    """Refuse a folder that a retrieval may not be written to; nothing is written.

    Raises:
        DatasetError: it holds what another command wrote.
        TrainError: it holds a retrieval and `resume` is off, or something under our names that is none of ours.
    """
    require_place_for(locate(folder), FolderKind.RETRIEVAL, option="--output")
    for name in (RETRIEVAL_BEGUN, *_RESULTS):
        if os.path.lexists(folder / name):
            require_regular((folder / name).lstat().st_mode, str(folder / name))
    if (folder / RETRIEVAL_BEGUN).exists():
        begun = (
            RETRIEVAL,
            QUERIES,
            f"{VECTORS}/{EMBEDDINGS_BEGUN}",
        )  # else it failed before there was anything to keep
        if not resume and any((folder / name).exists() for name in begun):
            raise TrainError(
                f"{folder} already holds a retrieval; pass --resume to keep its embeddings, or give another --output"
            )
        return
    for name in (*_RESULTS, VECTORS):
        if os.path.lexists(folder / name):
            raise TrainError(f"{folder} holds {name} without {RETRIEVAL_BEGUN}; give another --output")


def begin(folder: Path, asked: Mapping[str, Any]) -> None:
    """Write what is asked for, unless the folder is a retrieval's already; results of before stay for now."""
    with errors_naming(str(folder)):
        remove_temporaries(folder)
    if not (folder / RETRIEVAL_BEGUN).exists():
        write_atomic(folder / RETRIEVAL_BEGUN, _json({"format_version": FORMAT_VERSION, **asked}))


def write_results(
    folder: Path, asked: Mapping[str, Any], tables: Mapping[str, pa.Table], page: str, summary: Mapping[str, Any]
) -> None:
    """Write the results in the place of those of before, the summary last.

    Args:
        folder: that was begun.
        asked: what is asked for.
        tables: by file name.
        page: the sheet's HTML; empty for none.
        summary: the scores.
    """
    with errors_naming(str(folder)):
        for name in _RESULTS:
            (folder / name).unlink(missing_ok=True)
    write_atomic(folder / RETRIEVAL_BEGUN, _json({"format_version": FORMAT_VERSION, **asked}))
    for name, table in tables.items():
        with atomic_path(folder / name) as temporary:
            pq.write_table(table, temporary, compression="zstd")
    if page:
        write_atomic(folder / SHEET, page.encode())
    write_atomic(folder / RETRIEVAL, _json({"format_version": FORMAT_VERSION, **summary}))


def queries_table(
    images: Embeddings, relevance: Relevance, queries: IntArray, gallery: IntArray, scores: QueryScores
) -> pa.Table:
    """Return a row per query in the order of the images; one that does not decode has its fault, and no answers.

    Args:
        images: all images.
        relevance: their groups and roles.
        queries: int64 [Q], images: the queries that decode.
        gallery: int64 [G], images: the gallery.
        scores: of the Q queries.
    """
    asked, row = np.flatnonzero(relevance.is_query), np.full(len(images), len(queries))
    row[queries] = np.arange(len(queries))
    at = row[asked]  # one past the last for those that do not decode
    relevant, first = (np.append(column, 0)[at] for column in (scores.relevant, scores.first))
    keys, best = images.images["key"], np.append(scores.best, np.full((1, BEST), -1), 0)[at]
    answers = [keys.take(pa.array(gallery[places[places >= 0]])).to_pylist() for places in best]
    cosines = np.append(scores.similarities, np.full((1, BEST), np.nan), 0)[at]
    groups = [relevance.names[group] if group >= 0 else None for group in relevance.groups[asked].tolist()]
    columns = {
        "key": keys.take(pa.array(asked)),
        "path": images.images["path"].take(pa.array(asked)),
        "group": pa.array(groups, pa.string()),
        "relevant": pa.array(relevant, pa.int32()),
        "average_precision": pa.array(np.append(scores.precision, np.nan)[at], mask=relevant == 0),
        "first_relevant": pa.array(first + 1, mask=relevant == 0),
        "answers": pa.array(answers, pa.list_(pa.string())),
        "similarities": pa.array([line[: len(there)] for line, there in zip(cosines, answers, strict=True)]),
        "fault": images.images["fault"].take(pa.array(asked)),
    }
    return pa.table(columns)


def faults_table(images: Embeddings) -> pa.Table:
    """Return the images that do not decode, with their reasons."""
    faulty = np.flatnonzero(images.images["fault"].is_valid().to_numpy())
    return images.images.select(["key", "path", "split", "fault"]).take(pa.array(faulty))


def _json(values: Mapping[str, Any]) -> bytes:
    return json.dumps(values, indent=1).encode() + b"\n"
